// Names registered at run time: a name is in the table at most once, its payload is ready when it
// can be found, and no row is lost.

#include "expect.hpp"

#include <map>
#include <set>
#include <string>

namespace topsman::torture {
namespace {

using shm::NameKind;

constexpr std::uint64_t kReady = 0xfeed;

std::uint64_t add_mutex(const Segment& segment, std::string_view name, Owner owner) {
    const auto row = segment.mutex_names().find_or_add(
        name, NameKind::Mutex, 0, owner, [&segment](std::uint32_t index) {
            segment.mutexes()[index].init();
            segment.metrics().cell(0, index).store(kReady);
        });
    return row ? *row + 1 : 0;
}

class NameRegistration : public Operation {
  public:
    [[nodiscard]] std::string name() const override { return "name registration"; }

    [[nodiscard]] bool lives_on() const override { return true; }

    void setup(const Arena& arena) override {
        (void)add_mutex(arena.segment, "first", kPeer);
        arena.in_scratch<Results>() = Results{};
    }

    void run(const Arena& arena) override {
        arena.in_scratch<Results>().victims_row = add_mutex(arena.segment, "stock", kVictim);
    }

    void peers(const Arena& arena) override {
        arena.in_scratch<Results>().peers_row = add_mutex(arena.segment, "stock", kPeer);
        arena.in_scratch<Results>().other_row = add_mutex(arena.segment, "other", kPeer);
    }

    std::string verify(Arena& arena, Fate fate) override {
        Segment& segment = arena.segment;
        auto rows = rows_of(segment);
        const Results& results = arena.in_scratch<Results>();
        if (rows.empty()) {
            return "a name or a row is there twice";
        }
        if (!rows.contains("first")) {
            return "a published name is gone";
        }
        for (const auto& [name, row] : rows) {
            if (segment.metrics().cell(0, static_cast<std::uint32_t>(row - 1)).load() != kReady) {
                return "the name " + name + " was found before it was ready";
            }
        }
        if (fate.is_done && (results.victims_row == 0 || rows["stock"] != results.victims_row)) {
            return "the victim was given another row than the name has";
        }
        if (fate.peers_ran && (results.peers_row == 0 || rows["stock"] != results.peers_row ||
                               rows["other"] != results.other_row)) {
            return "a peer was given another row than the name has";
        }
        return all_can_be_had(segment);
    }

  private:
    struct Results {
        std::uint64_t victims_row = 0;
        std::uint64_t peers_row = 0;
        std::uint64_t other_row = 0;
    };

    using Rows = std::map<std::string, std::uint64_t>;

    /// Row + 1 of each name; empty when one of them is there twice.
    static Rows rows_of(const Segment& segment) {
        Rows rows;
        std::set<std::uint64_t> taken;
        for (const auto& entry : segment.mutex_names().entries()) {
            if (!rows.emplace(entry.name, entry.row + 1).second ||
                !taken.insert(entry.row).second) {
                return {};
            }
        }
        return rows;
    }

    /// Every row can be used, and none is used twice.
    static std::string all_can_be_had(Segment& segment) {
        const std::uint64_t row = add_mutex(segment, "stock", kPeer);
        if (row == 0) {
            return "the name cannot be had any more";
        }
        auto& mutex = segment.mutexes()[row - 1];
        if (mutex.try_lock(kPeer) != shm::LockResult::Locked) {
            return "its mutex cannot be locked";
        }
        mutex.unlock();
        auto& names = segment.mutex_names();
        for (std::uint32_t i = 0; names.entries().size() < shm::kMaxMutexes; ++i) {
            if (!names.find_or_add("n" + std::to_string(i), NameKind::Mutex, 0, kPeer, nullptr)) {
                return "rows are lost: full with " + std::to_string(names.entries().size());
            }
        }
        return rows_of(segment).size() == shm::kMaxMutexes ? "" : "a published row was used again";
    }
};

TEST(TortureTest, NameRegistration) {
    SKIP_WITHOUT_PTRACE();
    NameRegistration operation;
    expect_survives(operation);
}

}  // namespace
}  // namespace topsman::torture
