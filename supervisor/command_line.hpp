#pragma once

#include "supervisor/control/commands.hpp"
#include "supervisor/options.hpp"

#include <CLI/CLI.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace topsman {

/// Everything that can be typed. CLI11 fills it in; the chosen command's action reads it.
class CommandLine {
  public:
    explicit CommandLine(const Programs& programs);
    int run(int argc, char** argv);

  private:
    CLI::App* add(const std::string& name, const std::string& description,
                  const std::string& example, std::function<int()> action,
                  CLI::App* below = nullptr);
    CLI::App* add_for_cluster(const std::string& name, const std::string& description,
                              const std::string& example, std::function<int()> action,
                              CLI::App* below = nullptr);
    CLI::App* add_change(const std::string& name, const std::string& description,
                         const std::string& example, std::function<int()> action);
    void add_run_and_check();
    void add_looks();
    void add_changes();
    void add_for_scripts(CLI::App* counters);
    void add_queue_and_channel();
    CLI::App* with_timeout(CLI::App* command);
    CLI::Option* add_duration(CLI::App* command, const std::string& name,
                              std::chrono::milliseconds& value, const std::string& description);
    [[nodiscard]] int explain(const CLI::ParseError& error) const;
    [[nodiscard]] std::optional<std::string> unknown_command(int argc, char** argv) const;
    [[nodiscard]] std::string file() const;

    [[nodiscard]] control::Target target() const;
    [[nodiscard]] control::Output output() const;
    [[nodiscard]] int look_at_queues() const;
    [[nodiscard]] int change_counter(const char* action) const;
    [[nodiscard]] int submit_job() const;
    [[nodiscard]] int send_message() const;
    [[nodiscard]] std::optional<std::string> bytes_given(const CLI::Option& option,
                                                         const char* command,
                                                         const char* what) const;
    [[nodiscard]] int print_version() const;

    const Programs& programs_;
    CLI::App app_;
    using Action = std::pair<CLI::App*, std::function<int()>>;
    [[nodiscard]] const Action* chosen() const;

    std::vector<Action> actions_;
    bool json_ = false;
    bool wants_version_ = false;
    std::string file_;
    std::string config_;
    std::string cluster_;
    std::string what_;
    std::string amount_;
    std::string item_;
    CLI::Option* item_option_ = nullptr;
    control::SubmitOptions job_;
    CLI::Option* message_option_ = nullptr;
    CLI::Option* slot_option_ = nullptr;
    std::uint32_t slot_ = 0;
    control::SendOptions send_;
    std::string key_;
    CLI::Option* key_option_ = nullptr;
    std::chrono::milliseconds deadline_{};
    CLI::Option* deadline_option_ = nullptr;
    std::string retry_;
    std::string drop_;
    bool take_over_ = false;
    control::StatusOptions status_;
    control::EventsOptions events_;
    std::string until_;
    std::chrono::milliseconds events_timeout_{};
    CLI::Option* events_timeout_option_ = nullptr;
    CLI::Option* since_option_ = nullptr;
    control::ChangeOptions change_;
    bool fast_ = false;
    bool now_ = false;
};

}  // namespace topsman
