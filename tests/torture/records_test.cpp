// What one process writes and others read without a lock: records, events, last words.

#include "expect.hpp"

#include <cstring>

namespace topsman::torture {
namespace {

shm::WorkerRecord record_of(int byte) {
    shm::WorkerRecord record;
    std::memset(&record, byte, sizeof(record));
    return record;
}

bool is_record_of(const shm::WorkerRecord& record, int byte) {
    const shm::WorkerRecord expected = record_of(byte);
    return std::memcmp(&record, &expected, sizeof(record)) == 0;
}

class RecordStore : public Operation {
  public:
    [[nodiscard]] std::string name() const override { return "record store"; }

    void setup(const Arena& arena) override { record(arena).store(record_of(1)); }

    void run(const Arena& arena) override { record(arena).store(new_); }

    std::string verify(Arena& arena, Fate fate) override {
        shm::WorkerRecord read{};
        if (!record(arena).load(read)) {
            return "it cannot be read";
        }
        if (!is_record_of(read, 2) && (fate.is_done || !is_record_of(read, 1))) {
            return "it is neither the old one nor the new one";
        }
        record(arena).store(record_of(3));
        return record(arena).load(read) && is_record_of(read, 3) ? "" : "the next store is lost";
    }

  private:
    static shm::TwoCopy<shm::WorkerRecord>& record(const Arena& arena) {
        return arena.segment.scoreboard().workers[kVictim.lane];
    }

    shm::WorkerRecord new_ = record_of(2);
};

class EventAppend : public Operation {
  public:
    [[nodiscard]] std::string name() const override { return "event append"; }

    void setup(const Arena& arena) override {
        // Full: what is appended takes the place of the oldest.
        for (std::uint64_t seq = 1; seq <= kBefore; ++seq) {
            arena.segment.events().append(json_of(seq));
        }
        arena.in_scratch<bool>() = true;
    }

    void run(const Arena& arena) override { arena.segment.events().append(new_); }

    void peers(const Arena& arena) override {
        arena.in_scratch<bool>() = are_whole(arena.segment.events());
    }

    std::string verify(Arena& arena, Fate fate) override {
        auto& events = arena.segment.events();
        const std::uint64_t last = events.last_seq();
        if (last != kBefore + 1 && (last != kBefore || fate.is_done)) {
            return "the last event is " + std::to_string(last);
        }
        if (last > kBefore && events.read_since(kBefore).size() != 1) {
            return "the event is counted and not there";
        }
        if (!arena.in_scratch<bool>() || !are_whole(events)) {
            return "an event is not whole";
        }
        events.append(json_of(last + 1));
        const auto next = events.read_since(last);
        if (next.size() != 1 || next[0].json != json_of(last + 1)) {
            return "the next event is lost";
        }
        return are_whole(events) ? "" : "an event is not whole after the next one";
    }

  private:
    static constexpr std::uint64_t kBefore = shm::kEventSlots + 3;

    static std::string json_of(std::uint64_t seq) {
        return std::string(40, '.') + std::to_string(seq);
    }

    /// All that is there has its own text; one may be missing, which is being overwritten.
    static bool are_whole(const shm::EventRing& events) {
        const auto lines = events.read_since(0);
        for (const auto& line : lines) {
            if (line.json != json_of(line.seq)) {
                return false;
            }
        }
        return lines.size() >= shm::kEventSlots - 1;
    }

    std::string new_ = json_of(kBefore + 1);
};

class LastWordsSay : public Operation {
  public:
    [[nodiscard]] std::string name() const override { return "last words"; }

    void setup(const Arena& arena) override { words(arena).say("the first thing that was said"); }

    void run(const Arena& arena) override { words(arena).say("the last"); }

    std::string verify(Arena& arena, Fate fate) override {
        const std::string read = words(arena).read();
        const bool is_whole =
            read == "the last" ||
            (!fate.is_done && (read.empty() || read == "the first thing that was said"));
        return is_whole ? "" : "they are '" + read + "'";
    }

  private:
    static shm::LastWords& words(const Arena& arena) {
        return arena.segment.last_words()[kVictim.lane];
    }
};

class MasterChange : public Operation {
  public:
    [[nodiscard]] std::string name() const override { return "master change"; }

    void setup(const Arena& arena) override {
        const_cast<Segment&>(arena.segment).set_master(10, 100);
    }

    void run(const Arena& arena) override {
        const_cast<Segment&>(arena.segment).set_master(20, 200);
    }

    std::string verify(Arena& arena, Fate fate) override {
        const std::uint32_t pid = arena.segment.master_pid();
        const std::uint64_t start = arena.segment.master_start_ticks();
        const bool is_new = pid == 20 && start == 200;
        const bool is_old = pid == 0 || (pid == 10 && start == 100);
        return is_new || (is_old && !fate.is_done) ? "" : "one's pid with another's start time";
    }
};

TEST(TortureTest, RecordStore) {
    SKIP_WITHOUT_PTRACE();
    RecordStore operation;
    expect_survives(operation);
}

TEST(TortureTest, EventAppend) {
    SKIP_WITHOUT_PTRACE();
    EventAppend operation;
    expect_survives(operation);
}

TEST(TortureTest, LastWords) {
    SKIP_WITHOUT_PTRACE();
    LastWordsSay operation;
    expect_survives(operation);
}

TEST(TortureTest, MasterChange) {
    SKIP_WITHOUT_PTRACE();
    MasterChange operation;
    expect_survives(operation);
}

}  // namespace
}  // namespace topsman::torture
