#include "config/schema_shared.hpp"

#include "config/limits.hpp"
#include "config/units.hpp"

#include <map>
#include <set>
#include <string_view>

namespace topsman::config {
namespace {

/// A list of names, each once.
template <std::size_t Most>
std::vector<std::string> read_names(Reader& reader, const At& at) {
    std::vector<std::string> names = reader.list(at);
    std::set<std::string> seen;
    for (std::size_t i = 0; i < names.size(); ++i) {
        const std::string path = at.path + "[" + std::to_string(i) + "]";
        const Mark mark = i < at.node.items.size() ? at.node.items[i].mark : at.node.mark;
        if (!is_name(names[i])) {
            reader.error(mark, path,
                         "\"" + shown(names[i]) + "\" is no name: a name is " + kNameRule);
        } else if (!seen.insert(names[i]).second) {
            reader.error(mark, path, names[i] + " is here twice: keep one");
        }
    }
    if (names.size() > Most) {
        reader.error(at, "the segment has room for " + std::to_string(Most) + " of these, not " +
                             std::to_string(names.size()));
    }
    return names;
}

template <auto Member, std::size_t Most>
void names_into(Reader& reader, const At& at, Shared& shared) {
    shared.*Member = read_names<Most>(reader, at);
}

void read_semaphores(Reader& reader, const At& at, Shared& shared) {
    const auto read = [&](const At& one, const std::string& name) {
        Semaphore semaphore{.name = name, .permits = 0};
        const auto parse = [](std::string_view text) -> Result<std::uint32_t> {
            Result<std::uint32_t> permits = parse_count(text);
            if (permits && (*permits == 0 || *permits > kMaxPermits)) {
                return plain_error("permits are from 1 to " + std::to_string(kMaxPermits));
            }
            return permits;
        };
        reader.parse(one, parse, semaphore.permits);
        shared.semaphores.push_back(std::move(semaphore));
    };
    read_named(reader, at, "semaphore", kMaxSemaphores, read, "number of permits: write db: 20");
}

Result<std::uint32_t> parse_burst(std::string_view text) {
    Result<std::uint32_t> burst = parse_count(text);
    if (burst && (*burst == 0 || *burst > kMaxBurst)) {
        return plain_error("a burst is from 1 to " + std::to_string(kMaxBurst));
    }
    return burst;
}

constexpr Field<RateLimit> kRateLimit[] = {
    {"rate", "1000/s", value<&RateLimit::interval_ns, parse_rate>},
    {"burst", "1", value<&RateLimit::burst, parse_burst>},
};

void read_rate_limits(Reader& reader, const At& at, Shared& shared) {
    const auto read = [&](const At& one, const std::string& name) {
        RateLimit limit{.name = name};
        if (read_map(reader, one, fields_of(kRateLimit), limit) &&
            one.node.find("rate") == nullptr) {
            reader.error(one, "the rate limit has no rate: write { rate: 1000/s, burst: 200 }");
        }
        shared.rate_limits.push_back(std::move(limit));
    };
    read_named(reader, at, "rate limit", kMaxRateLimits, read);
}

/// A count within what the segment can hold.
Result<std::uint32_t> parse_within(std::string_view text, const char* what, std::uint32_t most,
                                   const char* write) {
    auto count = parse_count(text);
    if (count && (*count == 0 || *count > most)) {
        return plain_error(std::string(what) + " is from 1 to " + std::to_string(most) +
                           ": write " + write);
    }
    return count;
}

Result<std::uint32_t> parse_capacity(std::string_view text) {
    return parse_within(text, "a queue's capacity", kMaxQueueCapacity, "1024");
}

Result<std::uint32_t> parse_attempts(std::string_view text) {
    return parse_within(text, "max_attempts", kMaxAttempts, "3");
}

Result<std::uint32_t> parse_priorities(std::string_view text) {
    return parse_within(text, "how many priorities", kMaxPriorities, "2");
}

Result<std::uint32_t> parse_bytes(std::string_view text, const char* what) {
    // A bare number is bytes here: nobody thinks of anything else.
    const bool is_number = text.find_first_not_of("0123456789") == std::string_view::npos;
    auto size = parse_size(is_number ? std::string(text) + "B" : std::string(text));
    if (!size) {
        return size.error();
    }
    if (*size <= 0 || *size > kMaxItemBytes) {
        return plain_error(std::string(what) + " has 1 to " + std::to_string(kMaxItemBytes) +
                           " bytes: write 256, and put longer things into a file");
    }
    return static_cast<std::uint32_t>(*size);
}

Result<std::uint32_t> parse_item_size(std::string_view text) {
    return parse_bytes(text, "an item");
}

/// 0 is none.
Result<std::uint32_t> parse_result_size(std::string_view text) {
    return text == "0" ? Result<std::uint32_t>(0) : parse_bytes(text, "a result");
}

constexpr Field<Queue> kQueue[] = {
    {"capacity", "1024", value<&Queue::capacity, parse_capacity>},
    {"item_size", "256", value<&Queue::item_size, parse_item_size>},
    {"max_attempts", "3", value<&Queue::max_attempts, parse_attempts>},
    {"priorities", "1", value<&Queue::priorities, parse_priorities>},
    {"dedup", "false", value<&Queue::dedup, parse_bool>},
    {"result_size", "0", value<&Queue::result_size, parse_result_size>},
};

void read_queues(Reader& reader, const At& at, Shared& shared) {
    read_named(reader, at, "queue", kMaxQueues, [&](const At& one, const std::string& name) {
        Queue queue;
        queue.name = name;
        read_map(reader, one, fields_of(kQueue), queue);
        shared.queues.push_back(std::move(queue));
    });
}

Result<std::uint32_t> parse_message_size(std::string_view text) {
    return parse_bytes(text, "a message");
}

Result<std::uint32_t> parse_channel_capacity(std::string_view text) {
    return parse_within(text, "an inbox's capacity", kMaxChannelCapacity, "128");
}

Result<std::uint32_t> parse_channel_slots(std::string_view text) {
    return parse_within(text, "how many slots have an inbox", kMaxChannelSlots, "64");
}

/// Whether there is such a pool is known when all have been read.
Result<std::string> parse_pool(std::string_view text) {
    return std::string(text);
}

Result<Delivery> parse_delivery(std::string_view text) {
    static constexpr Word<Delivery> kWords[] = {
        {"at-least-once", Delivery::AtLeastOnce},
        {"at-most-once", Delivery::AtMostOnce},
    };
    return choose<Delivery>(text, kWords);
}

constexpr Field<Channel> kChannel[] = {
    {"to", "(a pool)", value<&Channel::to, parse_pool>},
    {"slots", "64", value<&Channel::slots, parse_channel_slots>},
    {"capacity", "128", value<&Channel::capacity, parse_channel_capacity>},
    {"message_size", "256", value<&Channel::message_size, parse_message_size>},
    {"delivery", "at-least-once", value<&Channel::delivery, parse_delivery>},
};

void read_channels(Reader& reader, const At& at, Shared& shared) {
    read_named(reader, at, "channel", kMaxChannels, [&](const At& one, const std::string& name) {
        Channel channel;
        channel.name = name;
        if (read_map(reader, one, fields_of(kChannel), channel) && one.node.find("to") == nullptr) {
            reader.error(one, "the channel has no receiving pool: write to: POOL");
        }
        shared.channels.push_back(std::move(channel));
    });
}

Result<std::uint32_t> parse_block_count(std::string_view text) {
    return parse_within(text, "how many blocks of a size", kMaxBlocks, "1024");
}

/// A size of blocks, which is a key; 0 when it is none.
std::uint64_t read_block_size(Reader& reader, const Entry& entry, const std::string& path) {
    const auto size = parse_size(entry.key);
    if (!size) {
        reader.error(entry.mark, path, size.error().message);
        return 0;
    }
    const auto bytes = static_cast<std::uint64_t>(*size);
    if (bytes == 0 || bytes > kMaxBlockBytes) {
        reader.error(entry.mark, path, "a block has from 1B to 1GiB: write 16KiB");
        return 0;
    }
    return bytes;
}

/// `blocks: { 16KiB: 1024 }`: sizes and how many of each.
void read_blocks(Reader& reader, const At& at, Shared& shared) {
    if (at.node.kind != Node::Kind::Map) {
        reader.error(at, "this is a map of sizes and how many of each: write { 16KiB: 1024 }");
        return;
    }
    if (at.node.entries.size() > kMaxBlockClasses) {
        reader.error(at, "at most " + std::to_string(kMaxBlockClasses) + " sizes, not " +
                             std::to_string(at.node.entries.size()));
        return;
    }
    std::map<std::uint64_t, std::uint32_t> by_size;
    std::uint64_t all = 0;
    for (const Entry& entry : at.node.entries) {
        const std::string path = at.path + "." + shown(entry.key);
        const std::uint64_t size = read_block_size(reader, entry, path);
        std::uint32_t count = 0;
        reader.parse(At{entry.value, path, "1024"}, parse_block_count, count);
        all += count;
        if (size != 0 && !by_size.emplace(size, count).second) {
            reader.error(entry.mark, path, "this size is here twice: keep one");
        }
    }
    if (all > kMaxBlocks) {
        reader.error(at, "at most " + std::to_string(kMaxBlocks) + " blocks in all, not " +
                             std::to_string(all));
    }
    for (const auto& [size, count] : by_size) {
        shared.blocks.push_back({size, count});
    }
}

constexpr Field<Shared> kShared[] = {
    {"counters", "[]", names_into<&Shared::counters, kMaxCounters>},
    {"mutexes", "[]", names_into<&Shared::mutexes, kMaxMutexes>},
    {"histograms", "[]", names_into<&Shared::histograms, kMaxHistograms>},
    {"semaphores", "{}", read_semaphores},
    {"rate_limits", "{}", read_rate_limits},
    {"queues", nullptr, read_queues},
    {"channels", nullptr, read_channels},
    {"blocks", "{}", read_blocks},
};

}  // namespace

void read_shared(Reader& reader, const At& at, Shared& shared) {
    read_map(reader, at, fields_of(kShared), shared);
}

void add_shared_keys(std::vector<KnownKey>& keys) {
    add_keys(keys, "shared.", fields_of(kShared));
    add_keys(keys, "shared.queues.NAME.", fields_of(kQueue));
    add_keys(keys, "shared.channels.NAME.", fields_of(kChannel));
}

}  // namespace topsman::config
