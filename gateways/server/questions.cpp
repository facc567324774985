#include "gateways/server/questions.hpp"

#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <utility>

#include <gangway/limits.hpp>

namespace gangway::detail {

void Questions::died(Id id, DeathRecord record) {
  deaths_.died(id, std::move(record), std::chrono::steady_clock::now());
  if (auto asked = waiting_.extract(id)) answer(id, std::move(asked.mapped()));
}

void Questions::ask(std::shared_ptr<Session> session, const std::string& token) {
  if (const auto id = deaths_.find(token, std::chrono::steady_clock::now()))
    answer(*id, std::move(session));
  else
    session->refuse("it knows no such connection, or not any more");
}

void Questions::answer(Id id, std::shared_ptr<Session> session) {
  const auto record = deaths_.take(id);
  if (!record) return await(id, std::move(session));
  if (!record->known()) return session->refuse("it does not know how the agent has ended");
  ++answers_;
  session->tell(*record, [this] {
    --answers_;
    on_told_();
  });
}

void Questions::await(Id id, std::shared_ptr<Session> session) {
  const std::weak_ptr<Session> asking = session;
  if (const auto before = std::exchange(waiting_[id], std::move(session))) before->refuse("it was asked again");
  const auto patience = std::make_shared<boost::asio::steady_timer>(io_, limits::death_awaited);
  patience->async_wait([this, id, asking, patience](boost::system::error_code) {
    const auto found = waiting_.find(id);
    if (found == waiting_.end() || found->second != asking.lock()) return;
    waiting_.extract(found).mapped()->refuse("the agent has not ended");
  });
}

}  // namespace gangway::detail
