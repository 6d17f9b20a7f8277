#pragma once

// The master's loop: one thread, one io_context. Callbacks only enqueue events; a turn sorts signs
// of life first, steps the core with each, carries out its actions, publishes the scoreboard and
// arms one timer. Nothing here decides, and nothing here waits: not for a disk (ConfigLoader), a
// peer (ControlServer), a log (Journal) or a worker.

#include "config/diff.hpp"
#include "supervisor/adoption.hpp"
#include "supervisor/chronicle.hpp"
#include "supervisor/config_loader.hpp"
#include "supervisor/config_watch.hpp"
#include "supervisor/control/control_server.hpp"
#include "supervisor/core/supervisor_core.hpp"
#include "supervisor/fd_store.hpp"
#include "supervisor/fd_watch.hpp"
#include "supervisor/journal.hpp"
#include "supervisor/kept_generations.hpp"
#include "supervisor/listener_set.hpp"
#include "supervisor/nudger.hpp"
#include "supervisor/posix/notify_socket.hpp"
#include "supervisor/posix/program.hpp"
#include "supervisor/posix/signals.hpp"
#include "supervisor/publisher.hpp"
#include "supervisor/script_waits.hpp"
#include "supervisor/sendoff.hpp"
#include "supervisor/spec_book.hpp"
#include "supervisor/upgrade_check.hpp"
#include "supervisor/worker_table.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace topsman::supervisor {

/// What the start has found and made, before there is a loop.
struct Foundation {
    config::Config config;
    Specs specs;
    config::Config file;                  ///< what the file said when it was read last
    std::optional<Candidate> news;        ///< what it says now, to be rolled out
    std::optional<KeptGenerations> kept;  ///< a dead master's
    std::string generations_path;
    std::string config_file;  ///< as given: it is read again on reload
    std::string directory;    ///< RUNTIME_DIRECTORY
    posix::Program program;   ///< what an upgrade executes
    shm::Segment segment;
    ListenerSet listeners;
    StoredNames stored;  ///< of them, in the manager's descriptor store
    posix::ServiceManager manager;
    UniqueFd signals;
    std::string path_prefix;  ///< RUNTIME_DIRECTORY/CLUSTER
    std::string control_path;
    int lock_fd = -1;
    std::optional<Adoption> adoption;  ///< living workers of a dead master
    std::optional<Handover> handover;  ///< by the program that was executed here before
};

/// Why a file is loaded that has changed while there was no master.
inline constexpr const char* kAtStart = "at the start";

class Master {
  public:
    Master(Foundation foundation, Journal& journal);
    ~Master();
    Master(const Master&) = delete;
    Master& operator=(const Master&) = delete;

    /// Opens the control socket. The error is a sentence for the operator.
    Result<void> open();
    /// Goes on in the place of the program before: see Foundation::handover. `failed`: it is the
    /// same program again, and why a newer one could not; empty: it is the newer one. `take_over`
    /// is called when nothing can go wrong any more, and before anything is done.
    void resume(const std::string& failed, const std::function<void()>& take_over);
    /// Until all workers are gone after a stop. Returns the exit code.
    int run();

    [[nodiscard]] const std::vector<posix::BoundListener>& listeners() const {
        return base_.listeners.all();
    }

  private:
    // master.cpp: the loop
    void begin();
    void adopt(Adoption adoption);
    void turn();
    void notice_stall(core::TimePoint now);
    void step(const core::Event& event, core::TimePoint now);
    [[nodiscard]] std::optional<core::TimePoint> next_deadline() const;
    void arm_timer();
    void wait_for_signals();
    void tell_manager();
    [[nodiscard]] static std::string status_text(const core::Snapshot& snapshot);
    [[nodiscard]] const config::Pool& policy_of(core::SlotId slot) const;
    [[nodiscard]] std::string pool_name(core::PoolId pool) const;

    void enqueue(core::Event event) { events_.push_back(std::move(event)); }

    // master_actions.cpp: what the core has decided
    void carry_out(const core::Action& action);
    void spawn(const core::Spawn& action);
    void send_signal(const core::Signal& action, bool may_wait);
    void announce(const core::Announce& action);
    void bury(const core::Obituary& action);
    void send_replies();
    void end(int code);

    // master_listeners.cpp: sockets that come and go, and who waits behind them
    void fit_listeners();
    void close_old_listeners();
    void send_off(core::TimePoint now);
    void mend_wake_ups(core::TimePoint now);

    // master_config.cpp: the configuration in force, and what the next master has to know of it
    void follow_config();
    void follow_shared();
    [[nodiscard]] bool differs_from_file() const;
    void tell_note();
    void forget_old_specs();
    void keep_generations();

    // requests.cpp: what operators ask for, by signal, by command, by saving the file
    void on_signal(const posix::ReceivedSignal& signal);
    void on_child();
    void on_request(const control::Request& request, const control::Responder& respond);
    void request_reload(core::Ticket ticket, const std::string& why);
    void on_candidate(Candidate candidate, std::vector<core::Ticket> tickets,
                      const std::string& why);
    void refuse_file(const std::vector<std::string>& reasons,
                     const std::vector<core::Ticket>& tickets);
    void refuse(const std::vector<std::string>& reasons, const std::vector<core::Ticket>& tickets);
    [[nodiscard]] std::vector<std::string> misfits(const Candidate& candidate) const;
    void request_plan(core::Ticket ticket);
    void request_rollback(core::Ticket ticket);
    void request_restart(core::Ticket ticket, const control::Request& request);
    void scale_first_pool(int difference);
    void answer(core::Ticket ticket, const control::Response& response);
    [[nodiscard]] core::Ticket open_ticket(const control::Responder& respond);

    // master_upgrade.cpp: another program in this one's place
    struct Upgrade {
        core::Ticket ticket;
        std::shared_ptr<const UniqueFd> caller;  ///< his connection; null: nobody waits
        std::unique_ptr<UpgradeCheck> check;
        std::string version;    ///< of the program that can go on; empty: not yet known
        core::TimePoint until;  ///< what is half done has to be done by then
        std::unique_ptr<boost::asio::steady_timer> timer;
    };

    [[nodiscard]] std::optional<std::string> reason_against_upgrade() const;
    void request_upgrade(core::Ticket ticket, std::shared_ptr<const UniqueFd> caller);
    void begin_wait();
    void check_upgrade();
    void execute_upgrade();
    void end_upgrade(const std::string& why);
    [[nodiscard]] std::optional<std::string> unfinished() const;
    void go_on_with_upgrade();
    [[nodiscard]] Handover hand_over() const;
    void look_for_missed_save(UniqueFd before);

    void watch_config(bool wanted);
    void wait_for_watch();
    void tell_manager_reloading(bool reloading) const;

    Foundation base_;
    Journal& journal_;
    boost::asio::io_context io_;
    boost::asio::steady_timer timer_;
    boost::asio::steady_timer watchdog_timer_;
    boost::asio::steady_timer settle_timer_;
    std::optional<core::TimePoint> armed_;
    core::TimePoint last_turn_ = core::Clock::now();
    std::deque<core::Event> events_;
    std::vector<core::Reply> replies_;  ///< sent when the scoreboard says the same
    core::SupervisorCore core_;
    core::Snapshot snapshot_;
    WorkerTable workers_;
    Publisher publisher_;
    Chronicle chronicle_;
    Nudger nudger_;
    Sendoff sendoff_;
    ScriptWaits script_waits_;
    FdStore fd_store_;
    std::optional<FdWatch> signal_watch_;
    ConfigLoader loader_;
    std::optional<ConfigWatch> config_watch_;
    std::optional<FdWatch> config_fd_watch_;
    std::uint64_t watches_ = 0;
    config::Config file_config_;  ///< what the file said when it was last read
    config::Shared shared_;       ///< what the segment was told last
    std::string refused_;         ///< why it was refused since; empty: it was not
    std::unique_ptr<control::ControlServer> control_;
    SpecBook specs_;
    std::string keeping_failed_;  ///< why the generations could not be kept, as it was said
    std::map<core::Ticket, std::vector<control::Responder>> tickets_;
    std::vector<core::Ticket> reloads_waiting_;
    bool reading_ = false;                   ///< the file, for a reload
    std::optional<std::string> read_again_;  ///< why
    std::uint64_t last_ticket_ = 0;
    std::deque<Candidate> incoming_;  ///< of the Reloads and Restarts that are enqueued, in order
    std::optional<Upgrade> upgrade_;
    std::unique_ptr<UpgradeCheck> retired_check_;
    bool resumed_ = false;  ///< another program had begun
    bool interrupted_ = false;
    std::uint32_t channel_turn_ = 0;  ///< whose turn a message for any is
    bool any_death_ = false;
    bool any_stop_ = false;
    bool service_up_ = false;
    std::string status_said_;
    std::optional<int> exit_code_;
};

}  // namespace topsman::supervisor
