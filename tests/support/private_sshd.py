"""Makes a directory into all that a private sshd needs, and becomes that sshd.

    python3 -B private_sshd.py DIRECTORY [--config LINE]... [--shell PATH] [--home DIRECTORY]
                               [--passwords [--read-only-home]]

The pid stays the same, and the log has "Server listening on 127.0.0.1" when it is ready.
It listens on loopback alone (::1, too, where that is), takes one key, made here, for the user who runs this (root or
not), and says all it does in DIRECTORY/log. What is there already is kept, so a second
start on the same directory is a restart: same port, same keys.

    port                a number
    user_key            private key of the user; user_key.pub
    host_key            private key of the host; host_key.pub
    known_hosts         as a client's that has connected before
    ssh_config          for `ssh -F`: the host `private`, and `jump`, which is the same one
    sshd_config, log

The lines of --config come first, and sshd believes the first: `MaxSessions 2`. --shell is
what the user's login shell shall be, in the home directory --home (made; default:
DIRECTORY/home, which is not used without --shell).

--passwords (root only) is for logins by password and keyboard-interactive: there is one more
user, `gwtest`, whose password is in DIRECTORY/password, and a PAM of the sshd's own, which says
what is in DIRECTORY/greeting and asks for the password. Nobody else sees that user: the sshd has
a mount namespace of its own. --shell and --home are that user's own then, as passwd has them, and
not those of a ForceCommand. --read-only-home: that home is a mount on which nothing can be written.
"""
import argparse
import ctypes
import getpass
import os
import random
import secrets
import shlex
import shutil
import socket
import subprocess
import sys

SSHD = shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/local/sbin")

# `bash` reads .bashrc when sshd has started it, and takes SHLVL as the sign that it has not.
LOGIN_SHELL = """\
#!/bin/sh
HOME={home} SHELL={shell}; export HOME SHELL; unset SHLVL; cd "$HOME" || exit
exec {shell} -c "$SSH_ORIGINAL_COMMAND"
"""

SSHD_CONFIG = """\
{more}
Port {port}
ListenAddress 127.0.0.1
{ipv6}HostKey {directory}/host_key
AuthorizedKeysFile {directory}/user_key.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication {passwords}
KbdInteractiveAuthentication no
PermitRootLogin yes
PrintMotd no
LogLevel VERBOSE
Subsystem sftp internal-sftp
"""

SSH_CONFIG = """\
Host private jump
  HostName 127.0.0.1
  HostKeyAlias 127.0.0.1
  Port {port}
  User {user}
  IdentityFile {directory}/user_key
  IdentitiesOnly yes
  IdentityAgent none
  UserKnownHostsFile {directory}/known_hosts
  GlobalKnownHostsFile none
  StrictHostKeyChecking yes
"""

# An uid that is nobody's, or of somebody who may do nothing.
PASSWORD_UID = 64321
PASSWORD_USER = "gwtest:x:{uid}:{uid}::{home}:{shell}\n"
PASSWORD_SHADOW = "gwtest:{hash}:19000:0:99999:7:::\n"
PAM = """\
auth optional pam_echo.so file={directory}/greeting
auth required pam_unix.so nodelay
account required pam_permit.so
session required pam_permit.so
"""
# In a mount namespace of its own; the pid stays the same.
IN_PLACE = 'mount --bind "$1/passwd" /etc/passwd && mount --bind "$1/shadow" /etc/shadow && ' \
           'mount --bind "$1/pam.d" /etc/pam.d && ' \
           'if test "$2"; then mount --bind "$2" "$2" && mount -o remount,bind,ro "$2"; fi && shift 2 && exec "$@"'


def write(path, text, mode=0o644):
    with open(path, "w") as file:
        file.write(text)
    os.chmod(path, mode)


def read(path):
    with open(path) as file:
        return file.read()


def is_free(family, address, port):
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((address, port))
        except OSError:
            return False
        return True


def free_port():
    """Below the ports that the kernel gives away, so nobody gets it by chance meanwhile."""
    while True:
        port = random.randrange(20000, 32000)
        if is_free(socket.AF_INET, "127.0.0.1", port):
            return port


def make_key(path):
    if not os.path.exists(path):
        subprocess.check_call(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "private", "-f", path])


def make_password_user(directory, home, shell):
    at = lambda name: os.path.join(directory, name)
    if not os.path.exists(at("password")):
        write(at("password"), secrets.token_hex(12), 0o600)
    crypt = ctypes.CDLL("libcrypt.so.1").crypt
    crypt.restype = ctypes.c_char_p
    hashed = crypt(read(at("password")).encode(), b"$6$" + secrets.token_hex(8).encode()).decode()
    for name in home, at("pam.d"):
        os.makedirs(name, exist_ok=True)
    os.chmod(home, 0o755)
    os.chown(home, PASSWORD_UID, PASSWORD_UID)
    write(at("passwd"), read("/etc/passwd") + PASSWORD_USER.format(uid=PASSWORD_UID, home=home, shell=shell))
    write(at("shadow"), read("/etc/shadow") + PASSWORD_SHADOW.format(hash=hashed), 0o600)
    write(at("pam.d/sshd"), PAM.format(directory=directory))
    if not os.path.exists(at("greeting")):
        write(at("greeting"), "")


def prepare(options):
    directory = os.path.realpath(options.directory)
    os.makedirs(directory, exist_ok=True)
    os.chmod(directory, 0o711)  # other users read the public key through it
    at = lambda name: os.path.join(directory, name)
    make_key(at("host_key"))
    make_key(at("user_key"))
    if not os.path.exists(at("port")):
        write(at("port"), str(free_port()))
    port = int(read(at("port")))
    host_key = " ".join(read(at("host_key.pub")).split()[:2])
    write(at("known_hosts"), "".join("%s %s\n" % (name, host_key) for name in (
        "127.0.0.1", "[127.0.0.1]:%d" % port, "[localhost]:%d" % port, "[::1]:%d" % port)))
    more = list(options.config)
    home = os.path.realpath(options.home or at("home"))
    if options.shell and not options.passwords:
        os.makedirs(home, exist_ok=True)
        write(at("login_shell"), LOGIN_SHELL.format(home=shlex.quote(home), shell=shlex.quote(options.shell)), 0o755)
        more.append("ForceCommand " + at("login_shell"))
    ipv6 = "ListenAddress ::1\n" if is_free(socket.AF_INET6, "::1", port) else ""
    write(at("sshd_config"), SSHD_CONFIG.format(more="\n".join(more), port=port, directory=directory, ipv6=ipv6,
                                                 passwords="yes" if options.passwords else "no"))
    if options.passwords:
        make_password_user(directory, home, options.shell or "/bin/sh")
    write(at("ssh_config"), SSH_CONFIG.format(port=port, directory=directory, user=getpass.getuser()))
    return directory, home


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("directory")
    parser.add_argument("--config", action="append", default=[])
    parser.add_argument("--shell")
    parser.add_argument("--home")
    parser.add_argument("--passwords", action="store_true")
    parser.add_argument("--read-only-home", action="store_true")
    options = parser.parse_args()
    directory, home = prepare(options)
    if os.getuid() == 0:
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)  # where it puts its unprivileged half
    command = [SSHD, "-D", "-f", os.path.join(directory, "sshd_config"), "-E", os.path.join(directory, "log")]
    if options.passwords:
        read_only = home if options.read_only_home else ""
        command = ["unshare", "-m", "sh", "-c", IN_PLACE, "sh", directory, read_only] + command
    os.execvp(command[0], command)


if __name__ == "__main__":
    if not SSHD:
        sys.exit("there is no sshd on this machine (Debian: openssh-server)")
    main()
