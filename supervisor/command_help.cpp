#include "supervisor/command_help.hpp"

#include <algorithm>

namespace topsman {

const char* const kHelp =
    R"(topsman keeps a cluster of worker processes alive: one YAML file, one master, many workers.

Usage: topsman COMMAND [OPTIONS]

Run
  run [FILE]             start the cluster, in the foreground
  check [FILE]           say what is wrong with a file, all of it, and start nothing
  stop                   end it: workers finish what they have begun

Look (asks nothing of the master: works beside a hung or a dead one)
  status                 master, workers, what they share; --watch follows
  counters               the shared counters and gauges
  locks                  who has which mutex, since when, and how many wait
  counters get NAME      one of them, the number alone
  queues [QUEUE]         the job queues; their dead letters, --retry and --drop
  events                 what happened, one JSON object a line; --follow, --until EVENT

Change
  plan                   what `reload` would do to which workers; does nothing
  reload                 make the running cluster what the file says now
  rollback               go back to the configuration before the last reload
  scale POOL=N           more or fewer workers, until the next reload
  restart [POOL[/SLOT]]  new processes, one after the other, successor ready first
  drain POOL/SLOT        take a worker out of use: it finishes and ends, until a restart
  reset-failed [POOL]    try again what was given up
  upgrade                go on with the newer topsman that was installed; nobody notices
  counters add NAME [N]  count from a script; `counters set GAUGE N` sets a gauge
  queue submit QUEUE     submit a job from a script: its bytes are standard input; --wait for its result
  channel send CHANNEL   send a message to a worker, --slot N, or to --all of a pool

  version                print the version

With several clusters on the machine say which one: -c FILE or -n CLUSTER.
Every command has --help with an example, and --json.

Exit codes: 0 done, 1 failed, 2 usage, 3 not running, 4 rolled back, 5 timed out,
6 would change (plan), 78 configuration.
)";

/// "topsman counters add"
std::string path_of(const CLI::App& command) {
    const CLI::App* parent = command.get_parent();
    return (parent == nullptr ? "" : path_of(*parent) + " ") + command.get_name();
}

namespace {

std::string column(const std::string& names) {
    constexpr std::size_t kColumn = 26;
    std::string text = "  " + names;
    text.resize(std::max(text.size() + 2, kColumn), ' ');
    return text;
}

bool is_positional(const CLI::Option* option) {
    return option->get_positional();
}

std::string line_of(const CLI::Option& option) {
    std::string names =
        option.get_positional() ? option.get_name(true) : option.get_name(false, true);
    std::replace(names.begin(), names.end(), ',', ' ');
    const std::string& type = option.get_type_name();
    if (!option.get_positional() && !type.empty()) {
        names += " " + type;
    }
    return column(names) + option.get_description() + "\n";
}

}  // namespace

std::string CommandFormatter::make_help(const CLI::App* app, std::string /*name*/,
                                        CLI::AppFormatMode /*mode*/) const {
    std::string usage = path_of(*app);
    for (const CLI::Option* option : app->get_options(is_positional)) {
        usage += option->get_required() ? " " + option->get_name(true)
                                        : " [" + option->get_name(true) + "]";
    }
    const auto commands = app->get_subcommands({});
    usage += commands.empty() ? "" : " [COMMAND]";
    std::string out = app->get_description() + "\n\nUsage: " + usage + " [OPTIONS]\n\n";
    for (const CLI::Option* option : app->get_options()) {
        out += line_of(*option);
    }
    for (const CLI::App* sub : commands) {
        out += column(path_of(*sub)) + sub->get_description() + "\n";
    }
    return out + "\n" + app->get_footer() + "\n";
}

}  // namespace topsman
