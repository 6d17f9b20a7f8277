#pragma once

// The processes behind the core's workers: what was spawned and is not yet buried. It carries out
// Spawn and Signal, and turns what the kernel and the workers say into the core's events.

#include "shm/segment.hpp"
#include "supervisor/adoption.hpp"
#include "supervisor/core/action.hpp"
#include "supervisor/core/event.hpp"
#include "supervisor/core/supervisor_core.hpp"
#include "supervisor/core/types.hpp"
#include "supervisor/exec_probes.hpp"
#include "supervisor/handover.hpp"
#include "supervisor/journal.hpp"
#include "supervisor/posix/listener.hpp"
#include "supervisor/spec.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace boost::asio {
class io_context;
}

namespace topsman::supervisor {

/// What the shell knows of one worker, for the scoreboard and its obituary.
struct WorkerFacts {
    core::WorkerId worker;
    std::uint32_t pid = 0;  ///< 0: it never ran
    std::uint64_t start_ticks = 0;
    std::uint32_t lane = 0;  ///< 0: it got none
    std::uint32_t lane_generation = 0;
    std::string status;               ///< STATUS=
    std::optional<int> error_number;  ///< ERRNO=
    std::string last_words;           ///< after its death
    bool output_full = false;
    std::uint64_t fingerprint = 0;   ///< of its specification
    std::uint64_t pidfd_inode = 0;   ///< 0: not unique here
    std::uint64_t output_inode = 0;  ///< of its output pipe; 0: none
    std::uint32_t wake_fd = 0;       ///< its own number of the event descriptor; 0: none
};

class WorkerTable {
  public:
    struct Surroundings {
        boost::asio::io_context& io;
        shm::Segment& segment;
        std::vector<posix::BoundListener>& listeners;
        Journal& journal;
        std::string cluster;
        std::string path_prefix;  ///< RUNTIME_DIRECTORY/CLUSTER
        int lock_fd;              ///< closed in every child first of all
    };

    using Enqueue = std::function<void(core::Event)>;

    WorkerTable(const Surroundings& surroundings, Enqueue enqueue);
    ~WorkerTable();
    WorkerTable(const WorkerTable&) = delete;
    WorkerTable& operator=(const WorkerTable&) = delete;

    struct Order {
        core::WorkerId worker;
        core::SlotId slot;
        core::Generation generation;
        std::uint32_t scoreboard_slot = 0;
        SpecPtr spec;
        shm::WorkerRecord record{};  ///< of it, for the next master; its lane's number is added
    };

    /// Starts it. What goes wrong, now or later, comes back as an Exited event.
    void spawn(const Order& order);

    /// Goes on with a worker of a dead master. `spec`: what its pool is started from now; null: the
    /// file has no such pool any more. One that has died meanwhile comes back as an Exited.
    void adopt(Adoptee adoptee, SpecPtr spec);

    /// What the program that is executed in our place has to know of them; the descriptors stay
    /// ours.
    [[nodiscard]] std::vector<HandedWorker> hand_over() const;
    /// Goes on with one of these; its descriptors are ours from here on. `left`: what the core said
    /// of it; `spec` as for adopt().
    void resume(const HandedWorker& handed, const core::LeftWorker& left, SpecPtr spec);
    /// "web/0", whose child is not executed yet; none: all are.
    [[nodiscard]] std::optional<std::string> being_started() const;

    /// By the pool's present policy, which may be newer than what the worker was started from.
    void signal(core::WorkerId worker, core::SignalKind kind, const config::Pool& policy);

    /// Sees to it that a spare which is ready takes no connections: one of the worker library waits
    /// by itself, any other is frozen, if it can be. A Parked or NotParked event answers.
    void park(core::WorkerId worker);
    /// A spare has a seat: it goes on, and knows which where it can be told.
    void release(const core::Release& release, std::uint32_t scoreboard_slot);

    /// A child has ended (SIGCHLD). Most ends are told by the pidfd; those that cannot be watched
    /// are looked for here.
    void look_for_ends();

    /// A sign of life that nobody was told of: the heartbeat in its lane, a core being written.
    void look_for_life(core::WorkerId worker);

    /// It is ready, whoever said so.
    void stop_looking(core::WorkerId worker);

    /// Before another program takes this one's place: runs of probes are begun anew afterwards.
    void cut_probes_short() { probes_.cut_short(); }

    /// What they did and take, as far as it is asked for.
    [[nodiscard]] core::Measured measure(const std::vector<core::MeasureWish>& wishes);

    /// How much each of them has to finish, as programs of the worker library say in their lanes.
    [[nodiscard]] core::Busy busy() const;

    [[nodiscard]] const WorkerFacts* find(core::WorkerId worker) const;
    /// After its obituary was written.
    void bury(core::WorkerId worker);

    /// Is it one of ours, a worker or a probe, not yet reaped? (The reaper of orphans keeps off.)
    [[nodiscard]] bool owns(std::uint32_t pid) const;
    /// Does a living worker hold that listening socket?
    [[nodiscard]] bool holds(core::WorkerId worker, int socket) const;
    /// It has closed it.
    void let_go(core::WorkerId worker, int socket);
    /// How many living workers hold that listening socket.
    [[nodiscard]] std::size_t users(int socket) const;

    /// Every idle acceptor looks at its listener once: a worker that died between the kernel's
    /// wake-up and its accept has taken that wake-up with it.
    void wake_acceptors();

  private:
    struct Process;  // worker_process.hpp
    [[nodiscard]] Process* running(core::WorkerId worker);

    // worker_table.cpp: starting, adopting
    Result<void> start(Process& process, const Order& order);
    Result<void> make_channels(Process& process, const Order& order, UniqueFd& writer) const;
    [[nodiscard]] Result<std::vector<std::pair<std::string, int>>> choose_sockets(
        const Order& order);
    [[nodiscard]] int least_used(const posix::BoundListener& listener, std::uint32_t slot) const;
    void open_channels_again(Process& process, const Adoptee& adoptee);
    [[nodiscard]] static SpecPtr spec_of_nobody(const std::string& pool);

    // worker_signs.cpp: what they say and show
    void watch(Process& process);
    void give_up(Process& process, const Error& why) const;
    void wait_for_report(core::WorkerId worker);
    void wait_for_notify(core::WorkerId worker);
    void wait_for_output(core::WorkerId worker);
    void wait_for_listening(core::WorkerId worker);
    void take_report(Process& process);
    void take_notifications(Process& process);
    bool take_output(Process& process);
    void begin_looking(Process& process);
    void look_at_listening(Process& process);
    void complain_of_listening(const Process& process, const std::string& trouble);
    void take_probe(core::WorkerId worker, std::optional<std::string> result);

    // worker_spares.cpp: park(), release()
    void look_at_freezing(core::WorkerId worker);
    [[nodiscard]] Result<void> look_for_room(const std::string& pool) const;
    [[nodiscard]] bool is_parked_by_itself(const Process& process) const;

    // worker_handover.cpp: hand_over(), resume(), being_started()

    // worker_end.cpp
    void wait_for_exit(core::WorkerId worker);
    void on_exit(core::WorkerId worker);
    [[nodiscard]] bool wait_for_its_exit_status(Process& process);
    void give_back_lane(Process& process);

    Surroundings surroundings_;
    Enqueue enqueue_;
    std::map<core::WorkerId, std::unique_ptr<Process>> processes_;
    std::set<std::string> uncounted_;  ///< pools of which was said that nobody counts requests
    std::set<std::string> unseen_;     ///< pools of which was said that nobody can tell
    ExecProbes probes_;
};

}  // namespace topsman::supervisor
