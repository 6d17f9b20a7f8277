#include "worker/c/handles.hpp"
#include "worker/c/last_error.hpp"

#include <algorithm>

using topsman::c::guarded;
using topsman::c::null_argument;

extern "C" {

int topsman_counter_open(topsman_worker* worker, const char* name, topsman_counter** counter) {
    if (worker == nullptr || name == nullptr || counter == nullptr) {
        return null_argument(__func__);
    }
    return topsman::c::open([&] { return worker->worker.counter(name); }, counter, name);
}

void topsman_counter_add(topsman_counter* counter, uint64_t n) {
    if (counter != nullptr) {
        counter->counter.add(n);
    }
}

void topsman_counter_add_from_threads(topsman_counter* counter, uint64_t n) {
    if (counter != nullptr) {
        counter->counter.add_from_threads(n);
    }
}

int topsman_counter_total(const topsman_worker* worker, const char* name, uint64_t* total) {
    if (worker == nullptr || name == nullptr || total == nullptr) {
        return null_argument(__func__);
    }
    return guarded([&] {
        const auto totals = worker->worker.counter_totals();
        const auto found = std::find_if(totals.begin(), totals.end(),
                                        [&](const auto& one) { return one.name == name; });
        if (found == totals.end()) {
            return topsman::c::failed(topsman::plain_error(
                "there is no counter " + std::string(name), std::errc::no_such_file_or_directory));
        }
        *total = found->value;
        return 0;
    });
}

int topsman_gauge_open(topsman_worker* worker, const char* name, topsman_gauge** gauge) {
    if (worker == nullptr || name == nullptr || gauge == nullptr) {
        return null_argument(__func__);
    }
    return topsman::c::open([&] { return worker->worker.gauge(name); }, gauge, name);
}

void topsman_gauge_set(topsman_gauge* gauge, int64_t level) {
    if (gauge != nullptr) {
        gauge->gauge.set(level);
    }
}

void topsman_gauge_add(topsman_gauge* gauge, int64_t n) {
    if (gauge != nullptr) {
        gauge->gauge.add(n);
    }
}

}  // extern "C"
