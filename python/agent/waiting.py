"""Who waits, leads (link.py), and the jobs that task.py asks for."""
from .task import get_ident, monotonic, on_demand, rare
from .wire import EAGER_TIME, FLOOD, FLUSH_TICK, PING, POLLIN, TICK, allocate_lock, open_pipe, open_poll, part, read, set_blocking, write


@part
class Waiting:
    """Of Link: waiting, leading, the stand-by, and the backend of task.py."""

    def wait(self, ready, bells, deadline):
        """Until ready(), leading if nobody else does. False when the time is over."""
        if self.forked:
            raise OSError(self.lost)
        self.burst = 0
        if self.out or self.control:
            self.flush()
        if self.interrupts:  # after the end nothing is waited for any more
            self.raise_interrupt()
        bell = None
        while not ready():
            if self.interrupts:
                self.raise_interrupt()
            if self.lead.acquire(False):
                self.leads += 1
                self.led_for = bells
                self.leader = get_ident()
                try:
                    while not ready():
                        if self.interrupts:
                            self.raise_interrupt()
                        if deadline is None:
                            self.pump(None)
                        else:
                            left = deadline - monotonic()
                            self.pump(max(0, left))
                            if left <= 0:
                                return ready()
                finally:
                    self.pass_lead()
                return True
            if bell is None:
                bell = allocate_lock()
                bell.acquire()
            bells.append(bell)
            self.followers[bell] = True
            try:
                if not ready() and self.lead.locked():
                    timeout = -1 if deadline is None else deadline - monotonic()
                    if deadline is not None and timeout <= 0:
                        return False
                    bell.acquire(True, timeout)
            finally:
                bells.remove(bell)
                self.followers.pop(bell, None)
                if self.followers and not self.lead.locked():
                    self.wake_one()  # we may have been meant to lead, and will not
        return True

    @rare
    def lead_for(self, channel):
        """The common case of wait: 1 us less in each round trip."""
        self.burst = 0
        if not (self.out or self.control) and self.lead.acquire(False):
            self.leads += 1
            self.led_for = channel._bells
            self.leader = get_ident()
            try:
                while not (channel._items or channel._ended):
                    if self.interrupts:
                        self.raise_interrupt()
                    self.pump(None)
            finally:
                self.pass_lead()

    def pass_lead(self):
        self.leader = self.led_for = None
        self.lead.release()
        if self.followers:
            self.wake_one()
        elif self.asleep:
            self.ring()

    def wake_one(self):
        try:
            bell, _ = self.followers.popitem()
        except KeyError:
            return
        bell.release()

    def wake(self, bells):
        for bell in list(bells):
            if self.followers.pop(bell, None):
                bell.release()
        if self.led_for is bells and self.leader != get_ident():
            self.push(PING, 0, bytes(8))  # it sits in read: the answer wakes it

    @rare
    def ring(self):
        """Makes the stand-by look around now."""
        if self.polling:
            try:
                write(self.pipe[1], b"!")
            except OSError:
                pass  # full: it is on its way
        else:
            try:
                self.bell.release()
            except RuntimeError:
                pass  # rung already

    @rare
    def is_flooded(self):
        """Under wire: if so, what is collected is for the stand-by to see to."""
        self.timer = self.paced > monotonic()
        self.paced = monotonic() + EAGER_TIME
        if self.timer:
            self.ring()
        else:
            self.burst = 0
        return self.timer

    # -- the backend of task.py

    def next_job(self, main):
        if not main:
            return self.stand_by()
        self.main_idle = True
        try:
            self.wait(lambda: self.main_jobs or self.jobs or self.lost, self.main_bells, None)
        finally:
            self.main_idle = False
        for jobs in (self.main_jobs, self.jobs):
            try:
                job = jobs.popleft()
                if self.jobs:
                    self.ring()
                return job
            except IndexError:
                pass
        return None if self.lost else self.next_job(True)

    @on_demand("main_thread_only")
    def push_job(self, job):
        self.main_jobs.append(job)
        self.wake(self.main_bells)

    @rare
    def stand_by(self):
        """The dispatcher's wait: leads while nobody else does.

        As long as others lead by turns it only looks in every TICK; while one of them
        leads steadily it sleeps until that one leaves. So an idle agent uses no CPU, and
        a ping-pong is disturbed 500 times a second at most (under 1 %).
        """
        if self.pipe is None:
            self.pipe = open_pipe()
            set_blocking(self.pipe[1], False)
            self.poll_all = open_poll()
            self.poll_all.register(self.fd_in, POLLIN)
            self.poll_all.register(self.pipe[0], POLLIN)
        while True:
            if self.jobs and not self.main_idle:
                try:
                    return self.jobs.popleft()
                except IndexError:
                    continue
            if self.lost:
                return None
            seen = self.leads
            self.bell.acquire(True, TICK)
            if self.rest or self.timer:
                self.flush_late()
            if self.lead.locked():
                if seen == self.leads and not self.rest and not self.timer:
                    self.asleep = True
                    if self.lead.locked() and not (self.timer or self.rest or self.lost or self.jobs and not self.main_idle):
                        self.bell.acquire()
                    self.asleep = False
            elif seen == self.leads and self.lead.acquire(False):
                self.leader = get_ident()
                try:
                    self.lead_alone()
                finally:
                    self.pass_lead()

    @rare
    def lead_alone(self):
        """Until a user's thread waits, who leads better, or a job is to be started."""
        while not (self.followers or self.lost or self.jobs and not self.main_idle):
            self.polling = True
            has_rest = bool(self.rest)  # another thread may change it meanwhile
            if has_rest:
                self.poll_all.register(self.fd_out, 4)  # POLLOUT
            timeout = FLUSH_TICK if self.timer else None
            if self.followers or self.lost or self.jobs and not self.main_idle:
                timeout = 0  # came before `polling` was seen
            ready = self.poll_all.poll(timeout)
            self.polling = False
            if has_rest:
                self.poll_all.unregister(self.fd_out)
            for fd, _ in ready:
                if fd == self.fd_in:
                    self.pump(None)
                elif fd == self.pipe[0]:
                    read(fd, 64)
            if self.rest or self.timer:
                self.flush_late()

    @rare
    def flush_late(self):
        """The timer's turn. It stops when a whole tick brought little."""
        with self.wire:
            if self.out_size < FLOOD and not self.rest:
                self.timer = False
                self.burst = 0
        self.flush(False)
