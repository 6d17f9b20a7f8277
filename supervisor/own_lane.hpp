#pragma once

// What scripts share, done for them by the master: a shell's process has no lane, and what nobody
// sweeps may not write. So the master writes in lane 0, its own. Nothing here waits: what is full
// refuses.

#include "shm/segment.hpp"
#include "supervisor/control/control_server.hpp"

namespace topsman::supervisor {

/// Adds to a counter or a gauge, or sets what scripts have added to a gauge so far. Answers with
/// the sum over all lanes. Only of names that there are: names are never removed, and a slip of the
/// finger would stay.
[[nodiscard]] control::Response change_metric(const shm::Segment& segment,
                                              const control::Request& request);

/// Answers with the job's number: from then on it will be executed, or become a dead letter. With a
/// key it may be that of one which was there already.
[[nodiscard]] control::Response submit_job(const shm::Segment& segment,
                                           const control::Request& request);

/// A job that the master has asked for, and where.
struct AskedJob {
    std::size_t queue = 0;
    shm::JobId id = 0;
};

/// The same, for a script that waits for the result. The error is what it is told.
[[nodiscard]] Result<AskedJob> ask_job(const shm::Segment& segment,
                                       const control::Request& request);

/// Whether there is an answer by now, and which. Nobody asks any more when there was.
[[nodiscard]] std::optional<control::Response> answer_of(const shm::Segment& segment,
                                                         const AskedJob& job);
void withdraw(const shm::Segment& segment, const AskedJob& job);

/// Answers with whom it was sent to, a line for each: from then on it is received, at least once or
/// at most once as the channel is, by whoever has that slot then. `turn` is who is looked at first
/// when it is for any.
[[nodiscard]] control::Response send_message(const shm::Segment& segment,
                                             const control::Request& request, std::uint32_t turn);

}  // namespace topsman::supervisor
