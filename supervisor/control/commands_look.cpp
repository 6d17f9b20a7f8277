#include "supervisor/control/cluster_view.hpp"
#include "supervisor/control/commands.hpp"
#include "supervisor/control/locate.hpp"
#include "supervisor/control/status_json.hpp"
#include "supervisor/control/status_text.hpp"
#include "supervisor/control/watch.hpp"

namespace topsman::control {

int status(const Target& target, const Output& output, const StatusOptions& options) {
    if (options.watch) {
        return watch_status(target, output, options);
    }
    const auto located = locate(target);
    if (!located) {
        print_error(output, located.error().message);
        return kExitNotRunning;
    }
    const ClusterView view = read_cluster(located->segment);
    const TextStyle style{.columns = output.columns, .color = output.color};
    output.out << (output.json ? status_json(view) + "\n" : status_text(view, style)) << std::flush;
    return kExitDone;
}

int counters(const Target& target, const Output& output) {
    const auto located = locate(target);
    if (!located) {
        print_error(output, located.error().message);
        return kExitNotRunning;
    }
    const ClusterView view = read_cluster(located->segment);
    const TextStyle style{.columns = output.columns, .color = output.color};
    output.out << (output.json ? counters_json(view) + "\n" : counters_text(view, style))
               << std::flush;
    return kExitDone;
}

}  // namespace topsman::control
