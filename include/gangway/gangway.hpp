// All of Gangway's public API.
#pragma once

#include <gangway/big_int.hpp>
#include <gangway/bytes.hpp>
#include <gangway/channel.hpp>
#include <gangway/channel_file.hpp>
#include <gangway/convert.hpp>
#include <gangway/death_record.hpp>
#include <gangway/dump.hpp>
#include <gangway/error.hpp>
#include <gangway/gateway.hpp>
#include <gangway/group.hpp>
#include <gangway/limits.hpp>
#include <gangway/multi_channel.hpp>
#include <gangway/native_agent.hpp>
#include <gangway/output.hpp>
#include <gangway/remote_status.hpp>
#include <gangway/ssh.hpp>
#include <gangway/value.hpp>
#include <gangway/xspec.hpp>
