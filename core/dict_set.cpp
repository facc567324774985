// Dict and Set: rows of items in the order of insertion, with an index when it pays.
#include <algorithm>
#include <stdexcept>

#include <gangway/error.hpp>
#include <gangway/value.hpp>

#include "core/key_index.hpp"

namespace gangway {

namespace {

using detail::KeyIndex;

void check_hashable(const Value& key) {
  if (!key.hashable()) {
    throw Error(errc::bad_cast,
                "not hashable, so no key and no member of a set: " + std::string(kind_name(key.kind())));
  }
}

// Most keys are texts, and most of these differ.
inline bool same_key(const Value& a, const Value& b) {
  const std::string* text = a.get_if<std::string>();
  const std::string* other = b.get_if<std::string>();
  if (text != nullptr && other != nullptr) {
    // The ends first: keys of the same length mostly differ there, and memcmp is a call.
    return text->size() == other->size() &&
           (text->empty() || (text->back() == other->back() && text->front() == other->front() && *text == *other));
  }
  return a == b;
}

// One bit of 64.
std::uint64_t sketch_of(const std::string& text) {
  if (text.empty()) return 1;
  const auto first = static_cast<unsigned char>(text.front());
  const auto last = static_cast<unsigned char>(text.back());
  return std::uint64_t{1} << ((text.size() * 16 + first * 5U + last) % 64);
}

// Room for some more, without giving up growth in large steps.
template <class Vector>
void make_room(Vector& items, std::size_t more) {
  const std::size_t needed = items.size() + more;
  if (needed > items.capacity()) items.reserve(std::max(needed, items.capacity() * 2));
}

}  // namespace

Dict::Dict(std::initializer_list<Item> items) {
  for (const Item& item : items) insert_or_assign(item.first, item.second);
}

Dict::Dict(const Dict& other)
    : items_(other.items_), index_(other.index_ == nullptr ? nullptr : new KeyIndex(*other.index_)) {}

Dict& Dict::operator=(const Dict& other) { return *this = Dict(other); }

Dict& Dict::operator=(Dict&& other) noexcept {
  // What `other` is inside of may only go at the end.
  Dict old;
  old.items_.swap(items_);
  old.index_.swap(index_);
  items_.swap(other.items_);
  index_.swap(other.index_);
  return *this;
}

void Dict::make_index(std::size_t capacity) {
  detail::KeyIndexPtr index(new KeyIndex);
  index->reserve(std::max(capacity, items_.size()));
  for (std::size_t i = 0; i < items_.size(); ++i) index->insert(detail::hash_value(items_[i].first), i);
  index_ = std::move(index);
}

std::size_t Dict::position(const Value& key) const {
  if (index_ == nullptr) {
    if (detail::needs_hash(key)) return KeyIndex::none;  // such keys would have made an index
    for (std::size_t i = 0; i < items_.size(); ++i) {
      if (same_key(items_[i].first, key)) return i;
    }
    return KeyIndex::none;
  }
  return index_->find(detail::hash_value(key), [&](std::size_t i) { return same_key(items_[i].first, key); });
}

// The value of a hashable key, which is added when it is new. Nothing is changed when it throws.
Value& Dict::slot(Value&& key) {
  const bool hashed = items_.size() >= detail::keys_without_index || detail::needs_hash(key);
  if (index_ == nullptr && !hashed) {
    const std::size_t at = position(key);
    if (at != KeyIndex::none) return items_[at].second;
    return items_.emplace_back(std::move(key), Value()).second;
  }
  if (index_ == nullptr) make_index(items_.size() + 1);
  const std::uint64_t hash = detail::hash_value(key);
  const std::size_t at = index_->find(hash, [&](std::size_t i) { return same_key(items_[i].first, key); });
  if (at != KeyIndex::none) return items_[at].second;
  index_->reserve(items_.size() + 1);
  items_.emplace_back(std::move(key), Value());
  index_->insert(hash, items_.size() - 1);
  return items_.back().second;
}

void Dict::take_items(std::span<Value> keys_and_values) {
  const std::size_t count = keys_and_values.size() / 2;
  make_room(items_, count);
  // The usual dict: a few texts. Most of them differ in their length or their ends, and need not be compared.
  std::uint64_t seen = items_.empty() ? 0 : ~std::uint64_t{0};
  while (index_ == nullptr && !keys_and_values.empty() && items_.size() < detail::keys_without_index &&
         !detail::needs_hash(keys_and_values[0])) {
    const std::string* text = keys_and_values[0].get_if<std::string>();
    const std::uint64_t sketch = text != nullptr ? sketch_of(*text) : ~std::uint64_t{0};
    const std::size_t at = (seen & sketch) != 0 ? position(keys_and_values[0]) : KeyIndex::none;
    seen |= sketch;
    if (at == KeyIndex::none) {
      items_.emplace_back(std::move(keys_and_values[0]), std::move(keys_and_values[1]));
    } else {
      items_[at].second = std::move(keys_and_values[1]);
    }
    keys_and_values = keys_and_values.subspan(2);
  }
  if (keys_and_values.empty()) return;
  if (index_ == nullptr) make_index(items_.size() + keys_and_values.size() / 2);
  index_->reserve(items_.size() + keys_and_values.size() / 2);
  for (std::size_t i = 0; i < keys_and_values.size(); i += 2) {
    slot(std::move(keys_and_values[i])) = std::move(keys_and_values[i + 1]);
  }
}

Value* Dict::find_text(std::string_view key) {
  const auto equal = [&](std::size_t i) {
    const std::string* text = items_[i].first.get_if<std::string>();
    return text != nullptr && *text == key;
  };
  if (index_ != nullptr) {
    const std::size_t at = index_->find(detail::hash_text(key), equal);
    return at == KeyIndex::none ? nullptr : &items_[at].second;
  }
  for (std::size_t i = 0; i < items_.size(); ++i) {
    if (equal(i)) return &items_[i].second;
  }
  return nullptr;
}

Value& Dict::at_text(std::string_view key) {
  if (Value* value = find_text(key)) return *value;
  throw std::out_of_range("no key " + to_string(Value(key)));
}

Value& Dict::slot_text(std::string_view key) {
  if (Value* value = find_text(key)) return *value;
  return slot(Value(key));
}

Value* Dict::find(const Value& key) {
  const std::size_t at = position(key);
  return at == KeyIndex::none ? nullptr : &items_[at].second;
}

const Value* Dict::find(const Value& key) const { return const_cast<Dict*>(this)->find(key); }

Value& Dict::at(const Value& key) {
  if (Value* value = find(key)) return *value;
  throw std::out_of_range("no key " + to_string(key));
}

const Value& Dict::at(const Value& key) const { return const_cast<Dict*>(this)->at(key); }

Value& Dict::operator[](Value key) {
  check_hashable(key);
  return slot(std::move(key));
}

bool Dict::insert_or_assign(Value key, Value value) {
  check_hashable(key);
  const std::size_t before = items_.size();
  slot(std::move(key)) = std::move(value);
  return items_.size() != before;
}

bool Dict::erase(const Value& key) {
  const std::size_t at = position(key);
  if (at == KeyIndex::none) return false;
  const Item gone = std::move(items_[at]);  // `key` may be inside it
  items_.erase(items_.begin() + static_cast<std::ptrdiff_t>(at));
  if (index_ != nullptr) make_index(items_.size());
  return true;
}

void Dict::clear() noexcept {
  items_.clear();
  index_.reset();
}

void Dict::reserve(std::size_t size) { items_.reserve(size); }

bool operator==(const Dict& a, const Dict& b) {
  if (a.size() != b.size()) return false;
  for (const auto& [key, value] : a) {
    const Value* other = b.find(key);
    if (other == nullptr || !(*other == value)) return false;
  }
  return true;
}

Set::Set(std::initializer_list<Value> members) {
  for (const Value& member : members) insert(member);
}

Set::Set(const Set& other)
    : members_(other.members_), index_(other.index_ == nullptr ? nullptr : new KeyIndex(*other.index_)) {}

Set& Set::operator=(const Set& other) { return *this = Set(other); }

Set& Set::operator=(Set&& other) noexcept {
  Set old;
  old.members_.swap(members_);
  old.index_.swap(index_);
  members_.swap(other.members_);
  index_.swap(other.index_);
  return *this;
}

void Set::make_index(std::size_t capacity) {
  detail::KeyIndexPtr index(new KeyIndex);
  index->reserve(std::max(capacity, members_.size()));
  for (std::size_t i = 0; i < members_.size(); ++i) index->insert(detail::hash_value(members_[i]), i);
  index_ = std::move(index);
}

std::size_t Set::position(const Value& member) const {
  if (index_ == nullptr) {
    if (detail::needs_hash(member)) return KeyIndex::none;
    const auto found =
        std::find_if(members_.begin(), members_.end(), [&](const Value& m) { return same_key(m, member); });
    return found == members_.end() ? KeyIndex::none : static_cast<std::size_t>(found - members_.begin());
  }
  return index_->find(detail::hash_value(member), [&](std::size_t i) { return same_key(members_[i], member); });
}

bool Set::add(Value&& member) {
  const bool hashed = members_.size() >= detail::keys_without_index || detail::needs_hash(member);
  if (index_ == nullptr && !hashed) {
    if (position(member) != KeyIndex::none) return false;
    members_.push_back(std::move(member));
    return true;
  }
  if (index_ == nullptr) make_index(members_.size() + 1);
  const std::uint64_t hash = detail::hash_value(member);
  const auto equal = [&](std::size_t i) { return same_key(members_[i], member); };
  if (index_->find(hash, equal) != KeyIndex::none) return false;
  index_->reserve(members_.size() + 1);
  members_.push_back(std::move(member));
  index_->insert(hash, members_.size() - 1);
  return true;
}

void Set::take_members(std::span<Value> members) {
  make_room(members_, members.size());
  if (index_ == nullptr && members_.size() + members.size() > detail::keys_without_index) {
    make_index(members_.size() + members.size());
  }
  if (index_ != nullptr) index_->reserve(members_.size() + members.size());
  for (Value& member : members) add(std::move(member));
}

std::uint64_t Set::content_hash() const {
  if (index_ != nullptr) return index_->sum();
  std::uint64_t sum = 0;
  for (const Value& member : members_) sum += detail::hash_of_member(detail::hash_value(member));
  return sum;
}

bool Set::contains(const Value& member) const { return position(member) != KeyIndex::none; }

bool Set::insert(Value member) {
  check_hashable(member);
  return add(std::move(member));
}

bool Set::erase(const Value& member) {
  const std::size_t at = position(member);
  if (at == KeyIndex::none) return false;
  const Value gone = std::move(members_[at]);
  members_.erase(members_.begin() + static_cast<std::ptrdiff_t>(at));
  if (index_ != nullptr) make_index(members_.size());
  return true;
}

void Set::clear() noexcept {
  members_.clear();
  index_.reset();
}

void Set::reserve(std::size_t size) { members_.reserve(size); }

bool operator==(const Set& a, const Set& b) {
  if (a.size() != b.size()) return false;
  return std::all_of(a.begin(), a.end(), [&](const Value& member) { return b.contains(member); });
}

}  // namespace gangway
