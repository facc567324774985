// Clients that ask how an agent has ended, of whose connection they know the end only.
//
// Leading thread only.
#pragma once

#include <boost/asio/io_context.hpp>

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "gateways/server/death_book.hpp"
#include "gateways/server/session.hpp"

namespace gangway::detail {

class Questions {
 public:
  using Id = DeathBook::Id;

  /// `on_told`: an answer has gone out, or cannot.
  Questions(boost::asio::io_context& io, std::function<void()> on_told) : io_(io), on_told_(std::move(on_told)) {}

  /// A connection whose client may ask with this token.
  void enter(Id id, std::string token) { deaths_.enter(id, std::move(token)); }
  /// Its agent has ended.
  void died(Id id, DeathRecord record);
  /// Told now, or when the agent has ended, which must be soon.
  void ask(std::shared_ptr<Session> session, const std::string& token);
  /// Whether answers are being written.
  [[nodiscard]] bool answering() const noexcept { return answers_ > 0; }

 private:
  void answer(Id id, std::shared_ptr<Session> session);
  void await(Id id, std::shared_ptr<Session> session);

  boost::asio::io_context& io_;
  const std::function<void()> on_told_;
  DeathBook deaths_;
  std::map<Id, std::shared_ptr<Session>> waiting_;  // for the end of an agent, one each
  std::size_t answers_ = 0;
};

}  // namespace gangway::detail
