// How long N workers take to start.
//
//   bench_start bare N PROGRAM [ARG...]   forks and execs N times, waits for a READY=1 from each
//   bench_start board CLUSTER N           waits until N workers of a cluster serve, and says when
//                                         each was spawned and became ready by its scoreboard
// Each prints one JSON object; times are nanoseconds of CLOCK_MONOTONIC.

#include "tests/bench/bare_process.hpp"
#include "tests/bench/board.hpp"
#include "tests/bench/stamp.hpp"

#include <boost/json.hpp>

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

namespace {

using namespace topsman::bench;
namespace json = boost::json;

json::object bare(std::size_t count, const std::vector<std::string>& command) {
    const topsman::UniqueFd listener = listen_on_loopback();
    std::vector<DatagramSocket> notify(count);  // one each, as under a supervisor
    std::vector<BareProcess> processes;
    processes.reserve(count);
    const std::int64_t begin = now_ns();
    for (const DatagramSocket& socket : notify) {
        processes.emplace_back(BareProcess::Options{command, listener.get(), socket.name(), false});
    }
    for (const DatagramSocket& socket : notify) {
        wait_readable(socket.fd());
    }
    const std::int64_t end = now_ns();
    return {{"ready_ns", end - begin}};
}

json::object board(const std::string& cluster, std::size_t count) {
    const topsman::shm::Segment segment = wait_for_workers(cluster, count);
    json::array spawned;
    json::array ready;
    json::array pids;
    for (const topsman::shm::WorkerRecord& worker : serving_workers(segment)) {
        spawned.emplace_back(worker.spawned_monotonic_ns);
        ready.emplace_back(worker.ready_monotonic_ns);
        pids.emplace_back(worker.pid);
    }
    return {{"segment_bytes", segment.size()},
            {"spawned_at_ns", std::move(spawned)},
            {"ready_at_ns", std::move(ready)},
            {"pids", std::move(pids)}};
}

}  // namespace

int main(int argc, char** argv) {
    const std::vector<std::string> words(argv + 1, argv + argc);
    if (words.size() >= 3 && words[0] == "bare") {
        std::puts(
            json::serialize(bare(std::stoul(words[1]), {words.begin() + 2, words.end()})).c_str());
        return 0;
    }
    if (words.size() == 3 && words[0] == "board") {
        std::puts(json::serialize(board(words[1], std::stoul(words[2]))).c_str());
        return 0;
    }
    die("usage: bench_start bare N PROGRAM [ARG...] | bench_start board CLUSTER N");
}
