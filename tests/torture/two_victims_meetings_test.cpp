// Two who die where others wait: the living are woken, and the dead do not count.

#include "expect_both.hpp"
#include "meeting.hpp"

#include <array>

namespace topsman::torture {
namespace {

using shm::Barrier;
using shm::Reset;

/// One sets it, one waits for it until its time is up, which is so at once; a living one sleeps.
class EventSetAndWaitedFor : public Pair {
  public:
    EventSetAndWaitedFor(Reset kind, bool setter_is_first)
        : kind_(kind), setter_is_first_(setter_is_first) {}

    [[nodiscard]] std::string name() const override {
        return std::string(kind_ == Reset::Auto ? "automatic" : "manual") + " event " +
               (setter_is_first_ ? "set and waited for" : "waited for and set");
    }

    void setup(const Arena& arena) override {
        place_.set_up(arena, kind_);
        let_sleep(arena, kSurvivor, place_.parking(arena));
        arena.in_scratch<Told>() = Told::Nothing;
    }

    void first(const Arena& arena) override {
        setter_is_first_ ? set(arena) : wait(arena, kVictim);
    }

    void second(const Arena& arena) override { setter_is_first_ ? wait(arena, kPeer) : set(arena); }

    std::string verify(Arena& arena, Fates fates) override {
        const bool setter_is_done = setter_is_first_ ? fates.first_is_done : fates.second_is_done;
        const bool waiter_is_done = setter_is_first_ ? fates.second_is_done : fates.first_is_done;
        const Told told = arena.in_scratch<Told>();
        const bool is_set = place_.event(arena).is_set();
        for (const Owner dead : {kVictim, kPeer}) {
            if (place_.parking(arena).has(dead.lane)) {
                return "a dead one is still known to wait";
            }
        }
        if (kind_ == Reset::Auto && told == Told::Yes && is_set) {
            return "it was set once, and is so twice";
        }
        if (setter_is_first_ && setter_is_done && waiter_is_done && told != Told::Yes) {
            return "it was set, and who looked does not know";
        }
        // Who waited may have died between taking it and saying so.
        const bool may_be_taken = kind_ == Reset::Auto && setter_is_first_ && !waiter_is_done;
        if (setter_is_done && !is_set && told != Told::Yes && !may_be_taken) {
            return "it is not set";
        }
        if (is_set && !is_woken(arena, kSurvivor)) {
            return "it is set, and a living one sleeps that waits for it";
        }
        return place_.is_usable(arena);
    }

  private:
    enum class Told : std::uint8_t { Nothing, No, Yes };

    void set(const Arena& arena) const { place_.event(arena).set(arena.segment.lanes()); }

    void wait(const Arena& arena, Owner owner) const {
        const bool was_set =
            place_.event(arena).wait(arena.segment.lanes(), owner.lane, shm::Deadline{});
        arena.in_scratch<Told>() = was_set ? Told::Yes : Told::No;
    }

    Reset kind_;
    bool setter_is_first_;
    EventPlace place_;
};

/// A living one sleeps at a barrier, to which both come: they are the last two of three, or one too
/// few. Who comes too early leaves at once.
class BarrierVisited : public Pair {
  public:
    explicit BarrierVisited(std::uint32_t parties) : parties_(parties) {}

    [[nodiscard]] std::string name() const override {
        return "barrier of " + std::to_string(parties_) + " visited";
    }

    void setup(const Arena& arena) override {
        place_.set_up(arena, parties_);
        place_.let_wait(arena, kSurvivor, kSurvivorsSeat);
        arena.in_scratch<Answers>() = Answers{};
    }

    void first(const Arena& arena) override { come(arena, kVictim, 0); }

    void second(const Arena& arena) override { come(arena, kPeer, 1); }

    std::string verify(Arena& arena, Fates fates) override {
        const Answers answers = arena.in_scratch<Answers>();
        const bool is_open = !place_.does_wait(arena, kSurvivorsSeat);
        if (place_.barrier(arena).arrived() != (is_open ? 0U : 1U)) {
            return "a dead one is counted";
        }
        if (is_open && !is_woken(arena, kSurvivor)) {
            return "a living one may go, and sleeps";
        }
        if (is_open && parties_ > 3) {
            return "it let one go that should wait";
        }
        if ((answers[0] == kLast || answers[1] == kLast) != is_open &&
            (!is_open || (fates.first_is_done && fates.second_is_done))) {
            return is_open ? "nobody was the last, and one may go" : "a living one was left behind";
        }
        if (answers[0] == kLast && answers[1] == kLast) {
            return "one went on alone";
        }
        if (is_open && parties_ == 3 && fates.first_is_done) {
            return "one who had left is counted";
        }
        if (!is_open && parties_ == 2 && (fates.first_is_done || fates.second_is_done)) {
            return "two have arrived, and a living one waits";
        }
        (void)place_.leave(arena, kSurvivorsSeat);
        place_.stand_up(arena, kSurvivorsSeat);
        return place_.check_next_round(arena, kSurvivor);
    }

  private:
    static constexpr std::uint32_t kSurvivorsSeat = 5;

    /// 0: nothing yet; else one more than what each was told.
    using Answers = std::array<std::uint32_t, 2>;

    void come(const Arena& arena, Owner owner, std::size_t who) const {
        arena.in_scratch<Answers>()[who] =
            1 + static_cast<std::uint32_t>(place_.visit(arena, owner));
    }

    static constexpr std::uint32_t kLast =
        1 + static_cast<std::uint32_t>(Barrier::Passed::AsTheLast);

    std::uint32_t parties_;
    BarrierPlace place_;
};

TEST(TwoVictimsTest, EventSetAndWaitedFor) {
    for (const Reset kind : {Reset::Manual, Reset::Auto}) {
        for (const bool setter_is_first : {true, false}) {
            expect_two_victims_harm_nobody<EventSetAndWaitedFor>(kind, setter_is_first);
        }
    }
}

TEST(TwoVictimsTest, BarrierVisited) {
    for (const std::uint32_t parties : {2U, 3U, 4U}) {
        expect_two_victims_harm_nobody<BarrierVisited>(parties);
    }
}

}  // namespace
}  // namespace topsman::torture
