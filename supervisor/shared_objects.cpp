#include "supervisor/shared_objects.hpp"

#include "config/names.hpp"
#include "shm/histogram.hpp"
#include "shm/named_mutex.hpp"
#include "shm/rate_limit.hpp"
#include "shm/semaphore.hpp"
#include "supervisor/control/text.hpp"
#include "supervisor/segment_plan.hpp"

#include <algorithm>
#include <span>
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

template <class All, class Is>
auto* find_one(const All& all, Is is) {
    const auto found = std::find_if(all.begin(), all.end(), is);
    return found == all.end() ? nullptr : &*found;
}

const shm::NamedQueue* find_queue(const shm::Segment& segment, const std::string& name) {
    return find_one(segment.queues(), [&](const auto& queue) { return queue.name == name; });
}

const shm::NamedChannel* find_channel(const shm::Segment& segment, const std::string& name) {
    return find_one(segment.channels(), [&](const auto& channel) { return channel.name == name; });
}

const shm::BlockClass* find_blocks(const shm::Segment& segment, std::uint64_t size) {
    return find_one(std::span<const shm::BlockClass>(segment.block_classes()),
                    [&](const shm::BlockClass& one) { return one.size == size; });
}

bool has_histogram(const shm::Segment& segment, const std::string& name) {
    return find_one(segment.histograms(), [&](const auto& one) { return one == name; }) != nullptr;
}

/// What takes its memory from the reserve.
class Needs {
  public:
    explicit Needs(std::vector<std::string>& misfits) : misfits_(misfits) {}

    /// `there`: what has the name already; null: it would be added.
    template <class T>
    void ask(const std::string& what, const std::string& key, const T* there, const T& wanted,
             std::size_t bytes) {
        if (there == nullptr) {
            ++missing_;
            names_.push_back(what);
            bytes_ += bytes;
        } else if (!(*there == wanted)) {
            misfits_.push_back(key + ": it is there with another shape until topsman is stopped");
        }
    }

    /// After those of one key.
    void tell_too_many(const std::string& key, std::size_t there, std::size_t most) {
        if (missing_ != 0 && there + missing_ > most) {
            misfits_.push_back(key + ": the segment can have " + std::to_string(most) +
                               ", with those that are not named any more: " +
                               std::to_string(there + missing_ - most) + " too many");
        }
        missing_ = 0;
    }

    void tell_too_large(std::uint64_t left) const {
        if (bytes_ > left) {
            misfits_.push_back(config::listed(names_) + " would take " +
                               control::format_size(bytes_) + ", and of segment.reserve are left " +
                               control::format_size(left) + ": " +
                               control::format_size(bytes_ - left) +
                               " too little. Stop topsman and run it again, or write less");
        }
    }

  private:
    std::vector<std::string>& misfits_;
    std::vector<std::string> names_;
    std::uint64_t bytes_ = 0;
    std::size_t missing_ = 0;
};

void ask_blocks(const shm::Segment& segment, const config::Shared& shared, Needs& needs,
                std::vector<std::string>& misfits) {
    const std::span<const shm::BlockClass> classes(segment.block_classes());
    const auto end = std::find(classes.begin(), classes.end(), shm::BlockClass{});
    std::uint64_t all = shm::block_count(segment.block_classes());
    for (const config::Blocks& blocks : shared.blocks) {
        const std::string size = control::exact_size(blocks.size);
        const shm::BlockClass wanted{blocks.size, blocks.count};
        const shm::BlockClass* there = find_blocks(segment, blocks.size);
        needs.ask("blocks of " + size, "shared.blocks." + size, there, wanted,
                  shm::late_blocks_bytes(wanted));
        all += there == nullptr ? blocks.count : 0;
    }
    needs.tell_too_many("shared.blocks", static_cast<std::size_t>(end - classes.begin()),
                        shm::kMaxBlockClasses);
    if (all > shm::kMaxBlocks) {
        misfits.push_back("shared.blocks: the segment can have " + std::to_string(shm::kMaxBlocks) +
                          " blocks, with those that are not named any more: " +
                          std::to_string(all - shm::kMaxBlocks) + " too many");
    }
}

void ask_reserve(const shm::Segment& segment, const config::Shared& shared,
                 std::vector<std::string>& misfits) {
    Needs needs(misfits);
    for (const config::Queue& queue : shared.queues) {
        const shm::NamedQueue wanted{queue.name, shape_of(queue)};
        needs.ask("queue " + queue.name, "shared.queues." + queue.name,
                  find_queue(segment, queue.name), wanted, shm::queue_bytes(wanted.shape));
    }
    needs.tell_too_many("shared.queues", segment.queues().size(), shm::kMaxQueues);
    for (const config::Channel& channel : shared.channels) {
        const shm::NamedChannel wanted = channel_of(channel);
        needs.ask("channel " + channel.name, "shared.channels." + channel.name,
                  find_channel(segment, channel.name), wanted, shm::channel_bytes(wanted.shape));
    }
    needs.tell_too_many("shared.channels", segment.channels().size(), shm::kMaxChannels);
    ask_blocks(segment, shared, needs, misfits);
    const auto lanes = static_cast<std::uint32_t>(segment.lanes().size() - 1);
    for (const std::string& name : shared.histograms) {
        needs.ask("histogram " + name, "shared.histograms",
                  has_histogram(segment, name) ? &name : nullptr, name,
                  shm::histogram_bytes(1, lanes));
    }
    needs.tell_too_many("shared.histograms", segment.histograms().size(), shm::kMaxHistograms);
    needs.tell_too_large(segment.reserve_left());
}

Result<void> declare_shaped(shm::Segment& segment, const config::Shared& shared) {
    Result<void> done;
    for (const config::Queue& queue : shared.queues) {
        if (done && find_queue(segment, queue.name) == nullptr) {
            done = segment.add_queue({queue.name, shape_of(queue)});
        }
    }
    for (const config::Channel& channel : shared.channels) {
        if (done && find_channel(segment, channel.name) == nullptr) {
            done = segment.add_channel(channel_of(channel));
        }
    }
    for (const config::Blocks& blocks : shared.blocks) {
        if (done && find_blocks(segment, blocks.size) == nullptr) {
            done = segment.add_blocks({blocks.size, blocks.count});
        }
    }
    for (const std::string& name : shared.histograms) {
        if (done && !has_histogram(segment, name)) {
            done = segment.add_histogram(name);
        }
    }
    return done;
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
            shm::find_or_make_mutex(segment.mutex_names(), segment.mutexes(), name, {});
        if (!row) {
            return Error{row.error().code, "shared.mutexes: " + row.error().message};
        }
    }
    if (auto shaped = declare_shaped(segment, shared); !shaped) {
        return shaped;
    }
    return declare_limits(segment, shared);
}

}  // namespace topsman::supervisor
