#include "supervisor/shared_objects.hpp"

#include "shm/rate_limit.hpp"
#include "shm/semaphore.hpp"

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
    return declare_limits(segment, shared);
}

}  // namespace topsman::supervisor
