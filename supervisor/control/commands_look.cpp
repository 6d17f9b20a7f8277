#include "supervisor/control/cluster_view.hpp"
#include "supervisor/control/commands.hpp"
#include "supervisor/control/locate.hpp"
#include "supervisor/control/status_json.hpp"
#include "supervisor/control/status_text.hpp"
#include "supervisor/control/watch.hpp"

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

int locks(const Target& target, const Output& output) {
    return look(target, output, locks_json, locks_text);
}

}  // namespace topsman::control
