#pragma once

// Who waits for what. A wish (reload, scale, restart, stop) is answered by exactly one Reply: Done
// when the new workers are ready and the replaced ones are gone, Failed as soon as that cannot
// happen any more, RolledBack when all is as it was before.

#include "supervisor/core/action.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace topsman::core {

/// More than this wait at the same time only if somebody attacks.
inline constexpr std::size_t kMostTickets = 256;

struct Wait {
    std::set<PoolId> rollouts;
    std::set<SlotId> starting;
    std::set<WorkerId> leaving;
    std::vector<std::string> lines;
    std::optional<std::uint64_t> change;  ///< a reload that takes effect as a whole
    std::string undone;                   ///< why it is undone; empty: it is not

    [[nodiscard]] bool empty() const {
        return rollouts.empty() && starting.empty() && leaving.empty() && !change;
    }
};

class Tickets {
  public:
    using Replies = std::vector<Action>;

    /// Ticket 0 is nobody and is not kept.
    void add(Ticket ticket, Wait wait, Replies& out);

    void worker_ready(SlotId slot);

    /// The slot needs no worker any more: its job is finished.
    void slot_finished(SlotId slot) { worker_ready(slot); }

    void worker_gone(WorkerId worker);
    /// A rollout took this worker's seat away.
    void worker_replaced(PoolId pool, WorkerId worker);
    void rollout_done(PoolId pool, const std::string& line);

    void worker_failed(SlotId slot, const std::string& why, Replies& out);
    void rollout_failed(PoolId pool, const std::string& why, Replies& out);
    /// The pool's breaker opened: nothing of it will become ready.
    void pool_given_up(PoolId pool, const std::string& why, Replies& out);
    void change_done(std::uint64_t change, const std::set<WorkerId>& leaving);
    void change_failed(std::uint64_t change, const std::string& why, Replies& out);
    /// Who waits for it waits for the way back.
    void change_undone(std::uint64_t change, const std::string& why, const Wait& back);
    void fail_all(const std::string& why, Replies& out);

    /// Answers those that wait for nothing any more.
    void settle(Replies& out);

    [[nodiscard]] std::size_t size() const { return waits_.size(); }

  private:
    template <class Predicate>
    void fail_if(Predicate&& concerned, const std::string& why, Replies& out);

    std::map<Ticket, Wait> waits_;
};

/// One answer at once.
void reply(Ticket ticket, Reply::Result result, const std::string& reason,
           std::vector<std::string> lines, std::vector<Action>& out);

}  // namespace topsman::core
