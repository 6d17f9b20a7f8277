// The parking's own code in every interleaving of two or three processes, of which one may die
// before any of its steps.

#define shm_explored shm_explored_parking  // NOLINT: not what another test's file has
#include "explored_shm.hpp"

namespace topsman::shm {
namespace {

/// Who waits for a permit sleeps only as long as there is none.
class ParkingExploredTest : public testing::Test {
  protected:
    struct Shared {
        std::atomic<std::uint64_t> permits;
        Parking parking;
        Lane lanes[4];
    };

    explorer::Explored explore(const std::vector<std::function<void()>>& processes,
                               const std::vector<bool>& may_die) {
        explorer::Scenario scenario;
        scenario.arena = std::as_writable_bytes(std::span(shared_.get(), 1));
        scenario.shared = scenario.arena;
        scenario.begin = [&] {
            turn = 0;
            shared_->permits.store(permits_at_first_);
        };
        scenario.processes = processes;
        scenario.may_die = may_die;
        scenario.sweep = [&](std::size_t dead) {
            shared_->parking.forget(static_cast<std::uint32_t>(dead + 1));
            wake_everyone(shared_->lanes);
        };
        scenario.end = [&](std::size_t, const std::vector<std::size_t>& asleep) {
            return asleep.empty() || shared_->permits.load() == 0
                       ? ""
                       : "a permit is there, and one who waits for it sleeps";
        };
        return explorer::explore(scenario);
    }

    bool try_take() {
        std::uint64_t seen = shared_->permits.load();
        while (seen != 0) {
            if (shared_->permits.compare_exchange_strong(seen, seen - 1)) {
                return true;
            }
        }
        return false;
    }

    void wait(std::uint32_t lane) {
        looks = 0;  // to look more often before it sleeps changes nothing
        (void)shared_->parking.park(shared_->lanes, lane, kNoDeadline,
                                    [this] { return !try_take(); });
    }

    void give() {
        (void)shared_->permits.fetch_add(1);
        (void)shared_->parking.wake_one(shared_->lanes);
    }

    std::uint64_t permits_at_first_ = 0;
    std::unique_ptr<Shared> shared_ = std::make_unique<Shared>();
};

TEST_F(ParkingExploredTest, NobodySleepsForEver) {
    expect_right(explore({[this] { wait(1); }, [this] { give(); }}, {true, true}));
}

TEST_F(ParkingExploredTest, TwoTakeTurnsWithOnePermit) {
    const auto take_and_give = [this](std::uint32_t lane) {
        wait(lane);
        give();
    };
    permits_at_first_ = 1;
    expect_right(explore({[=] { take_and_give(1); }, [=] { take_and_give(2); }}, {true, true}));
}

/// The wake-up for the second permit may go to the one who is about to leave with the first.
TEST_F(ParkingExploredTest, AWakeUpThatIsNotUsedIsPassedOn) {
    permits_at_first_ = 1;
    expect_right(explore({[this] { wait(1); }, [this] { wait(2); }, [this] { give(); }},
                         {false, false, false}));
}

/// As it is done without a set: who changes before the other has said that it waits wakes nobody.
TEST_F(ParkingExploredTest, AWakeUpThatIsLostIsFound) {
    const auto found = explore({[this] {
                                    while (!try_take()) {
                                        Lane& lane = shared_->lanes[1];
                                        const std::uint32_t seen = lane.wake.load();
                                        lane.parked.store(1);
                                        (void)futex_wait(lane.wake, seen, kNoDeadline);
                                    }
                                },
                                [this] {
                                    (void)shared_->permits.fetch_add(1);
                                    if (shared_->lanes[1].parked.load() != 0) {
                                        (void)shared_->lanes[1].wake.fetch_add(1);
                                        futex_wake_all(shared_->lanes[1].wake);
                                    }
                                }},
                               {false, false});
    EXPECT_NE(found.failure.find("sleeps"), std::string::npos) << found.failure;
}

}  // namespace
}  // namespace topsman::shm
