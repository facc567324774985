// What encoding and decoding items costs, without a connection.
//
//     ./dev bench micro_items
//
// `records` is the item of spec-docs' "structured items of 10 KB": a list of 100 small
// dicts. The limit in the same units is CPython's C pickle:
//
//     python3 -m timeit -s "import pickle; x = pickle.dumps([{'id': i, 'name': f'item {i}',
//       'score': i / 7, 'tags': ['a', 'b'], 'ok': True} for i in range(100)], 4)" "pickle.loads(x)"
#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include <gangway/convert.hpp>
#include <gangway/dump.hpp>
#include <gangway/value.hpp>

#include "core/item_codec.hpp"

namespace {

using namespace gangway;

Value records(int count) {
  List list;
  for (int i = 0; i < count; ++i) {
    Dict record;
    record["id"] = i;
    record["name"] = "item " + std::to_string(i);
    record["score"] = i / 7.0;
    record["tags"] = List{"a", "b"};
    record["ok"] = true;
    list.push_back(std::move(record));
  }
  return list;
}

Value integers(int count) {
  List list;
  for (int i = 0; i < count; ++i) list.push_back(i * 37);
  return list;
}

Value texts(int count) {
  List list;
  for (int i = 0; i < count; ++i) list.push_back("a text of some forty characters, number " + std::to_string(i));
  return list;
}

Value one_dict(int count) {
  Dict dict;
  for (int i = 0; i < count; ++i) dict["key " + std::to_string(i)] = i;
  return dict;
}

using Make = Value (*)(int);

void encode(benchmark::State& state, Make make) {
  const Value value = make(static_cast<int>(state.range(0)));
  Bytes scratch;
  std::size_t size = 0;
  for (auto _ : state) {
    const detail::EncodedItem item = detail::encode_item(value, scratch, nullptr);
    benchmark::DoNotOptimize(item);
    size = item.payload.size();
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(size) * state.iterations());
}

void decode(benchmark::State& state, Make make) {
  const Bytes stream = detail::encode_pickle(make(static_cast<int>(state.range(0))));
  for (auto _ : state) {
    Value value = detail::decode_item(detail::ItemKind::pickle, stream.span(), nullptr);
    benchmark::DoNotOptimize(value);
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(stream.size()) * state.iterations());
}

void to_vector_of_int(benchmark::State& state) {
  const Value value = integers(static_cast<int>(state.range(0)));
  for (auto _ : state) benchmark::DoNotOptimize(value_to<std::vector<int>>(value));
  state.SetItemsProcessed(state.range(0) * state.iterations());
}

void dump_records(benchmark::State& state) {
  const Value value = records(static_cast<int>(state.range(0)));
  for (auto _ : state) benchmark::DoNotOptimize(dumps(value));
}

void load_records(benchmark::State& state) {
  const Bytes document = dumps(records(static_cast<int>(state.range(0))));
  for (auto _ : state) benchmark::DoNotOptimize(loads(document));
}

BENCHMARK_CAPTURE(encode, records, records)->Arg(100)->Arg(10'000);
BENCHMARK_CAPTURE(decode, records, records)->Arg(100)->Arg(10'000);
BENCHMARK_CAPTURE(encode, integers, integers)->Arg(1000);
BENCHMARK_CAPTURE(decode, integers, integers)->Arg(1000);
BENCHMARK_CAPTURE(encode, texts, texts)->Arg(1000);
BENCHMARK_CAPTURE(decode, texts, texts)->Arg(1000);
BENCHMARK_CAPTURE(encode, one_dict, one_dict)->Arg(1000);
BENCHMARK_CAPTURE(decode, one_dict, one_dict)->Arg(1000);
BENCHMARK(to_vector_of_int)->Arg(1000);
BENCHMARK(dump_records)->Arg(100);
BENCHMARK(load_records)->Arg(100);

}  // namespace

BENCHMARK_MAIN();
