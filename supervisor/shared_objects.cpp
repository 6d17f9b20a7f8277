#include "supervisor/shared_objects.hpp"

#include "config/names.hpp"
#include "shm/histogram.hpp"
#include "shm/rate_limit.hpp"
#include "shm/semaphore.hpp"
#include "supervisor/control/text.hpp"
#include "supervisor/segment_plan.hpp"

#include <algorithm>
#include <utility>

namespace topsman::supervisor {

namespace {

/// Why there is no row; or it is one that there cannot be, as an adopted segment may hold anything.
Error declaration_error(const std::string& key, const Result<std::uint32_t>& row) {
    return row ? plain_error(key + ": the names in the segment are corrupt")
               : Error{row.error().code, key + ": " + row.error().message};
}

Result<void> declare_limits(shm::Segment& segment, const config::Shared& shared) {
    const auto arrays = segment.arrays();
    for (const config::Semaphore& semaphore : shared.semaphores) {
        const auto row = segment.array_names().find_or_add(
            semaphore.name, shm::NameKind::Semaphore, 0, {}, [&](std::uint32_t i) {
                if (i < arrays.size()) {
                    shm::Semaphore(arrays[i]).init(semaphore.permits);
                }
            });
        if (!row || *row >= arrays.size()) {
            return declaration_error("shared.semaphores", row);
        }
        shm::Semaphore(arrays[*row]).set_permits(semaphore.permits);
    }
    const auto objects = segment.objects();
    for (const config::RateLimit& limit : shared.rate_limits) {
        const shm::RateLimit::Rule rule{limit.interval_ns, limit.burst};
        const auto row = segment.object_names().find_or_add(
            limit.name, shm::NameKind::RateLimit, 0, {}, [&](std::uint32_t i) {
                if (i < objects.size()) {
                    shm::RateLimit(objects[i]).init(rule);
                }
            });
        if (!row || *row >= objects.size()) {
            return declaration_error("shared.rate_limits", row);
        }
        shm::RateLimit(objects[*row]).set_rule(rule);
    }
    return {};
}

/// Those of one key, in the table that they share with what workers register.
class Asked {
  public:
    Asked(std::string key, shm::NameKind kind, const shm::NameTable& table, std::size_t rows)
        : key_(std::move(key)), kind_(kind), entries_(table.entries()), rows_(rows) {}

    void name(const std::string& name) {
        const auto found =
            std::find_if(entries_.begin(), entries_.end(),
                         [&](const shm::NameTable::Entry& entry) { return entry.name == name; });
        if (found == entries_.end()) {
            ++missing_;
        } else if (found->kind != kind_) {
            misfits_.push_back(key_ + ": " + name +
                               ": a worker has given this name to something else; take another");
        }
    }

    void tell(std::vector<std::string>& misfits) const {
        misfits.insert(misfits.end(), misfits_.begin(), misfits_.end());
        const std::size_t left = rows_ - std::min(rows_, entries_.size());
        if (missing_ > left) {
            misfits.push_back(key_ + ": " + std::to_string(missing_) + " new, and room for " +
                              std::to_string(left) + ": " + std::to_string(missing_ - left) +
                              " too many. Names that are not used any more have their place until "
                              "topsman is stopped");
        }
    }

  private:
    std::string key_;
    shm::NameKind kind_;
    std::vector<shm::NameTable::Entry> entries_;
    std::size_t rows_;
    std::size_t missing_ = 0;
    std::vector<std::string> misfits_;
};

const shm::NamedQueue* find_queue(const shm::Segment& segment, const std::string& name) {
    const auto queues = segment.queues();
    const auto found = std::find_if(queues.begin(), queues.end(),
                                    [&](const auto& queue) { return queue.name == name; });
    return found == queues.end() ? nullptr : &*found;
}

bool has_histogram(const shm::Segment& segment, const std::string& name) {
    const auto names = segment.histograms();
    return std::find(names.begin(), names.end(), name) != names.end();
}

void tell_too_many(const std::string& key, std::size_t there, std::size_t missing, std::size_t most,
                   std::vector<std::string>& misfits) {
    if (missing != 0 && there + missing > most) {
        misfits.push_back(key + ": the segment can have " + std::to_string(most) +
                          ", with those that are not named any more: " +
                          std::to_string(there + missing - most) + " too many");
    }
}

/// What takes its memory from the reserve.
void ask_reserve(const shm::Segment& segment, const config::Shared& shared,
                 std::vector<std::string>& misfits) {
    std::vector<std::string> queues;
    std::vector<std::string> histograms;
    std::uint64_t bytes = 0;
    for (const config::Queue& queue : shared.queues) {
        const shm::NamedQueue* there = find_queue(segment, queue.name);
        const shm::QueueShape shape = shape_of(queue);
        if (there == nullptr) {
            queues.push_back("queue " + queue.name);
            bytes += shm::queue_bytes(shape);
        } else if (there->shape != shape) {
            misfits.push_back("shared.queues." + queue.name +
                              ": it is there with another shape until topsman is stopped");
        }
    }
    for (const std::string& name : shared.histograms) {
        if (!has_histogram(segment, name)) {
            histograms.push_back("histogram " + name);
            bytes +=
                shm::histogram_bytes(1, static_cast<std::uint32_t>(segment.lanes().size() - 1));
        }
    }
    tell_too_many("shared.queues", segment.queues().size(), queues.size(), shm::kMaxQueues,
                  misfits);
    tell_too_many("shared.histograms", segment.histograms().size(), histograms.size(),
                  shm::kMaxHistograms, misfits);
    if (bytes > segment.reserve_left()) {
        queues.insert(queues.end(), histograms.begin(), histograms.end());
        misfits.push_back(config::listed(queues) + " would take " + control::format_size(bytes) +
                          ", and of segment.reserve are left " +
                          control::format_size(segment.reserve_left()) + ": " +
                          control::format_size(bytes - segment.reserve_left()) +
                          " too little. Stop topsman and run it again, or write less");
    }
}

}  // namespace

std::vector<std::string> misfits_of(const shm::Segment& segment, const config::Shared& shared) {
    using shm::NameKind;
    std::vector<std::string> misfits;
    const auto ask = [&misfits](Asked asked, const auto& all, auto name_of) {
        for (const auto& one : all) {
            asked.name(name_of(one));
        }
        asked.tell(misfits);
    };
    const auto itself = [](const std::string& name) { return name; };
    const auto its_name = [](const auto& named) { return named.name; };
    ask({"shared.counters", NameKind::Counter, segment.metric_names(), shm::kMaxMetrics},
        shared.counters, itself);
    ask({"shared.mutexes", NameKind::Mutex, segment.mutex_names(), shm::kMaxMutexes},
        shared.mutexes, itself);
    ask({"shared.semaphores", NameKind::Semaphore, segment.array_names(), shm::kMaxArrays},
        shared.semaphores, its_name);
    ask({"shared.rate_limits", NameKind::RateLimit, segment.object_names(), shm::kMaxObjects},
        shared.rate_limits, its_name);
    ask_reserve(segment, shared, misfits);
    return misfits;
}

Result<void> declare_shared(shm::Segment& segment, const config::Shared& shared) {
    const auto nothing = [](std::uint32_t) {};
    for (const std::string& name : shared.counters) {
        const auto row =
            segment.metric_names().find_or_add(name, shm::NameKind::Counter, 0, {}, nothing);
        if (!row) {
            return Error{row.error().code, "shared.counters: " + row.error().message};
        }
    }
    for (const std::string& name : shared.mutexes) {
        const auto row =
            segment.mutex_names().find_or_add(name, shm::NameKind::Mutex, 0, {}, nothing);
        if (!row) {
            return Error{row.error().code, "shared.mutexes: " + row.error().message};
        }
    }
    for (const config::Queue& queue : shared.queues) {
        if (find_queue(segment, queue.name) == nullptr) {
            if (auto added = segment.add_queue({queue.name, shape_of(queue)}); !added) {
                return added;
            }
        }
    }
    for (const std::string& name : shared.histograms) {
        if (!has_histogram(segment, name)) {
            if (auto added = segment.add_histogram(name); !added) {
                return added;
            }
        }
    }
    return declare_limits(segment, shared);
}

}  // namespace topsman::supervisor
