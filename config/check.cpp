#include "config/check.hpp"

#include <boost/json.hpp>

#include <ostream>

namespace topsman::config {
namespace {

constexpr int kConfigurationError = 78;  // EX_CONFIG

std::string counted(std::size_t count, const std::string& one, const std::string& many) {
    return std::to_string(count) + " " + (count == 1 ? one : many);
}

std::size_t total_workers(const Config& config) {
    std::size_t total = 0;
    for (const Pool& pool : config.pools) {
        total += pool.workers;
    }
    return total;
}

std::size_t block_count(const Shared& shared) {
    std::size_t count = 0;
    for (const Blocks& one : shared.blocks) {
        count += one.count;
    }
    return count;
}

boost::json::array to_json(const std::vector<Problem>& problems) {
    boost::json::array list;
    for (const Problem& problem : problems) {
        list.push_back({{"line", problem.line},
                        {"column", problem.column},
                        {"path", problem.path},
                        {"sentence", problem.sentence}});
    }
    return list;
}

void print_json(const std::string& file, const Loaded& loaded, const SegmentSize& segment,
                std::ostream& out) {
    boost::json::object object;
    object["file"] = file;
    object["ok"] = loaded.config.has_value();
    if (loaded.config) {
        object["cluster"] = loaded.config->cluster;
        boost::json::array pools;
        for (const Pool& pool : loaded.config->pools) {
            pools.push_back({{"name", pool.name}, {"workers", pool.workers}});
        }
        object["pools"] = std::move(pools);
        if (segment.bytes != 0) {
            boost::json::object made_of;
            for (const auto& [what, bytes] : segment.made_of) {
                made_of[what] = bytes;
            }
            object["segment"] = {{"bytes", segment.bytes}, {"made_of", std::move(made_of)}};
        }
    }
    object["errors"] = to_json(loaded.errors);
    object["warnings"] = to_json(loaded.warnings);
    out << boost::json::serialize(object) << '\n';
}

}  // namespace

std::string summary(const Config& config) {
    std::string text = "cluster " + config.cluster + ", " +
                       counted(config.pools.size(), "pool", "pools") + ", " +
                       counted(total_workers(config), "worker", "workers");
    const auto add = [&](std::size_t count, const char* one, const char* many) {
        if (count > 0) {
            text += ", " + counted(count, one, many);
        }
    };
    add(config.listeners.size(), "listener", "listeners");
    add(config.shared.counters.size(), "counter", "counters");
    add(config.shared.mutexes.size(), "mutex", "mutexes");
    add(config.shared.histograms.size(), "histogram", "histograms");
    add(config.shared.semaphores.size(), "semaphore", "semaphores");
    add(config.shared.rate_limits.size(), "rate limit", "rate limits");
    add(config.shared.queues.size(), "queue", "queues");
    add(config.shared.channels.size(), "channel", "channels");
    add(block_count(config.shared), "block", "blocks");
    return text;
}

int check_command(const std::string& file, bool json, std::ostream& out, std::ostream& err,
                  const Environment& environment,
                  const std::function<SegmentSize(const Config&)>& segment_size) {
    Loaded loaded = load_file(file, environment);
    SegmentSize segment;
    if (loaded.config && segment_size) {
        segment = segment_size(*loaded.config);
        if (!segment.problem.empty()) {
            loaded.errors.push_back({file, 0, 0, "shared", segment.problem});
            loaded.config.reset();
        }
    }
    const int status = loaded.config ? 0 : kConfigurationError;
    if (json) {
        print_json(file, loaded, segment, out);
        return status;
    }
    for (const Problem& problem : loaded.errors) {
        err << problem.text() << '\n';
    }
    for (const Problem& warning : loaded.warnings) {
        Problem said = warning;
        said.sentence = "warning: " + warning.sentence;
        err << said.text() << '\n';
    }
    if (loaded.config) {
        out << file << ": ok: " << summary(*loaded.config) << '\n';
        if (!segment.text.empty()) {
            out << file << ": " << segment.text << '\n';
        }
    }
    return status;
}

}  // namespace topsman::config
