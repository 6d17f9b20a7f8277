#pragma once

// Names given at run time, by processes that may die at any instruction: which counter, mutex or
// cell is called what.
//
// The table is ready-made rows and an append-only list of row numbers. To register: look the name
// up in the list; else CAS a free row to CLAIMED(owner), fill it in, and CAS the list's first empty
// entry to its number. That CAS is the one commit point: a loser reads what won, and if it is the
// same name gives its own row back and uses the winner's. So a name is in the table at most once
// (two rows of one name would be two mutexes), nothing is ever removed, nobody waits for anybody,
// and a row claimed by the dead is either in the list, hence published, or freed by the sweep.

#include "shm/base/result.hpp"
#include "shm/lane.hpp"
#include "shm/limits.hpp"

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace topsman::shm {

/// What a row is about. Part of the layout.
enum class NameKind : std::uint32_t {
    None = 0,
    Counter = 1,
    Gauge = 2,
    Mutex = 3,
    Cell = 4,
    Atomic = 5,
    Array = 6,
    BoundedCounter = 7,
    RateLimit = 8,
    Semaphore = 9,
    Event = 10,
    Barrier = 11,
};
inline constexpr NameKind kLastNameKind = NameKind::Barrier;

struct NameRow {
    std::atomic<std::uint64_t> claim;  ///< 0: free; else its owner; stays when published
    NameKind kind;
    std::uint32_t size;  ///< Cell, Atomic, Array: bytes of its value
    char name[kNameBytes];
};

/// As it lies in the segment.
class NameTable {
  public:
    static constexpr std::uint32_t kMaxRows = kMaxMetrics;

    void init(std::uint32_t rows) noexcept;  ///< by the master, before the first fork

    /// The row of `name`, registering it if it is new. `prepare(row)` runs on a new row before it
    /// is published (it initialises the payload; it may run on a row that then loses). Errors: the
    /// table is full; the name is taken by another kind or size; not a name.
    [[nodiscard]] Result<std::uint32_t> find_or_add(
        std::string_view name, NameKind kind, std::uint32_t size, Owner owner,
        const std::function<void(std::uint32_t)>& prepare);

    struct Entry {
        std::uint32_t row;
        NameKind kind;
        std::uint32_t size;
        std::string name;
    };

    /// The row of a name that is there already; none, or another kind: an empty optional.
    [[nodiscard]] std::optional<Entry> find(std::string_view name, NameKind kind) const;

    /// What is published, in the order of registration. Safe on hostile bytes.
    [[nodiscard]] std::vector<Entry> entries() const;

    /// Of each row: what is published in it, None where nothing is. Allocates nothing.
    [[nodiscard]] std::array<NameKind, kMaxRows> kinds() const noexcept;

    /// Frees rows that the dead owner claimed and did not publish. Idempotent.
    void sweep(Owner dead) noexcept;

  private:
    template <class Visit>
    void visit(Visit&& visitor) const noexcept;
    [[nodiscard]] std::uint32_t rows() const noexcept;
    [[nodiscard]] std::optional<std::uint32_t> claim_row(std::uint64_t claim) noexcept;
    [[nodiscard]] bool is_published(std::uint32_t row) const noexcept;

    std::uint32_t rows_;
    std::uint32_t reserved_;
    std::atomic<std::uint32_t> order_[kMaxRows];  ///< row + 1; 0: end of the list
    NameRow row_[kMaxRows];
};

}  // namespace topsman::shm
