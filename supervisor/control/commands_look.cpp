#include "supervisor/control/cluster_view.hpp"
#include "supervisor/control/commands.hpp"
#include "supervisor/control/locate.hpp"
#include "supervisor/control/status_json.hpp"
#include "supervisor/control/status_text.hpp"
#include "supervisor/control/text.hpp"
#include "supervisor/control/watch.hpp"

#include <algorithm>

namespace topsman::control {

namespace {

/// Reads the cluster once and prints what is asked for of it.
template <class Json, class Text>
int look(const Target& target, const Output& output, Json json, Text text) {
    const auto located = locate(target);
    if (!located) {
        print_error(output, located.error().message);
        return kExitNotRunning;
    }
    const ClusterView view = read_cluster(located->segment);
    const TextStyle style{.columns = output.columns, .color = output.color};
    output.out << (output.json ? json(view) + "\n" : text(view, style)) << std::flush;
    return kExitDone;
}

}  // namespace

int status(const Target& target, const Output& output, const StatusOptions& options) {
    if (options.watch) {
        return watch_status(target, output, options);
    }
    return look(target, output, status_json,
                [](const auto& view, const auto& style) { return status_text(view, style); });
}

int counters(const Target& target, const Output& output) {
    return look(target, output, counters_json,
                [](const auto& view, const auto& style) { return counters_text(view, style); });
}

int counter(const Target& target, const Output& output, const std::string& name) {
    const auto located = locate(target);
    if (!located) {
        print_error(output, located.error().message);
        return kExitNotRunning;
    }
    const ClusterView view = read_cluster(located->segment);
    const auto named = [&name](const auto& line) { return line.name == name; };
    const auto counter = std::find_if(view.counters.begin(), view.counters.end(), named);
    const auto gauge = std::find_if(view.gauges.begin(), view.gauges.end(), named);
    if (counter == view.counters.end() && gauge == view.gauges.end()) {
        print_error(output, "counters get: there is no counter or gauge " + printable(name) +
                                ": see topsman counters");
        return kExitFailed;
    }
    const std::string value = counter != view.counters.end() ? std::to_string(counter->total)
                                                             : std::to_string(gauge->total);
    output.out << (output.json ? R"({"name":")" + name + R"(","value":)" + value + "}" : value)
               << std::endl;
    return kExitDone;
}

int locks(const Target& target, const Output& output) {
    return look(target, output, locks_json, locks_text);
}

}  // namespace topsman::control
