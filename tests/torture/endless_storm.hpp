#pragma once

// Storms whose workers go on until enough of them were killed, beside a ledger outside of the
// segment: what they know to be done, which outlives them and is not what is tested.

#include "shm/fence.hpp"
#include "shm/parking.hpp"
#include "storm.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <sys/mman.h>
#include <unistd.h>
#include <utility>

namespace topsman::torture {

/// `Ledger` has `is_over` and, by lane, `progress`; all zeros is an empty one.
template <class Ledger>
class EndlessStormTest : public testing::Test {
  public:
    static inline Ledger* ledger = nullptr;

    /// What ends a wait.
    static bool is_over() noexcept { return ledger->is_over.load(); }

  protected:
    explicit EndlessStormTest(const std::string& what)
        : name_("topsman." + what + "." + std::to_string(::getuid()) + "." +
                std::to_string(::getpid())) {}

    void SetUp() override {
        void* memory = ::mmap(nullptr, sizeof(Ledger), PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        ASSERT_NE(memory, MAP_FAILED);
        ledger = static_cast<Ledger*>(memory);
        (void)shm::Segment::remove(name_);
        shm::join_fences();  // as the worker library does; it is forked with
    }

    void TearDown() override {
        (void)::munmap(ledger, sizeof(Ledger));
        (void)shm::Segment::remove(name_);
    }

    /// Each worker does `work` in its lane, again whenever it was killed, until there were so many
    /// kills; then it is over for all.
    static void storm(shm::Segment& segment, std::uint64_t kills,
                      std::function<void(shm::Owner)> work) {
        Storm all(segment,
                  {.workers = static_cast<std::uint32_t>(segment.lanes().size() - 1),
                   .work = std::move(work),
                   .progress = [](std::uint32_t lane) { return ledger->progress[lane].load(); },
                   .most_progress_between_kills = 50,
                   .most_kills = kills,
                   .enough =
                       [&] {
                           ledger->is_over.store(true);
                           shm::wake_everyone(segment.lanes());
                       }},
                  static_cast<std::uint64_t>(testing::UnitTest::GetInstance()->random_seed()));
        all.run();
        ASSERT_EQ(all.kills(), kills);
    }

    const std::string name_;
};

}  // namespace topsman::torture
