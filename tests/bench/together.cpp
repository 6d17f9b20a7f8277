#include "together.hpp"

#include "shm/base/check.hpp"
#include "topsman/worker.hpp"

#include <algorithm>
#include <chrono>
#include <string>

namespace topsman {

double measure(test::Herd& herd, std::uint64_t turns,
               const std::vector<std::function<int()>>& work) {
    using Clock = std::chrono::steady_clock;
    std::vector<test::Signal> begin(work.size());
    const test::Signal is_there;
    std::vector<test::Member> members;
    for (std::size_t i = 0; i < work.size(); ++i) {
        members.push_back(
            herd.spawn({.environment = {{"TOPSMAN_SLOT", std::to_string(i)}}}, [&, i] {
                (void)Worker::attach().value();
                is_there.give();
                begin[i].wait();
                return work[i]();
            }));
    }
    for (std::size_t i = 0; i < work.size(); ++i) {
        is_there.wait();
    }
    const auto began = Clock::now();
    for (const test::Signal& signal : begin) {
        signal.give();
    }
    for (test::Member& member : members) {
        CHECK(herd.reap(member) == 0);
    }
    const std::chrono::duration<double, std::nano> took = Clock::now() - began;
    return took.count() / static_cast<double>(turns);
}

double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}

}  // namespace topsman
