#include "supervisor/kept_generations.hpp"

#include "config/load.hpp"
#include "config/read_file.hpp"
#include "shm/base/check.hpp"
#include "supervisor/json_reading.hpp"
#include "supervisor/runtime_dir.hpp"

#include <boost/json.hpp>

#include <algorithm>
#include <stdexcept>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

namespace topsman::supervisor {

namespace {

namespace json = boost::json;
using json_reading::generation;
using json_reading::number;
using json_reading::text;

constexpr std::uint64_t kGenerationsFormat = 1;
/// Some texts of 1 MiB each, escaped.
constexpr std::size_t kMostBytes = 64U << 20U;
constexpr const char* kNotOurs = "is not what this version of topsman writes";

json::object to_json(const std::map<std::string, std::string>& words) {
    json::object object;
    for (const auto& [key, value] : words) {
        object[key] = value;
    }
    return object;
}

/// Generations that differ in a policy only, or in nothing, have one text.
class GenerationsWriter {
  public:
    std::uint64_t source(const config::Origin& origin) {
        CHECK(origin.source != nullptr);
        const config::Source& source = *origin.source;
        for (std::size_t i = 0; i < sources_.size(); ++i) {
            const config::Source& known = *sources_[i];
            if (known.path == source.path && known.text == source.text &&
                known.variables == source.variables && known.cpus == source.cpus) {
                return i;
            }
        }
        sources_.push_back(&source);
        return sources_.size() - 1;
    }

    json::object version(const core::Version& version) {
        json::object pools;
        for (const config::Pool& pool : version.config.pools) {
            const auto runs = version.pools.find(pool.name);
            CHECK(runs != version.pools.end());
            pools[pool.name] = {{"generation", runs->second.value}, {"workers", pool.workers}};
        }
        return {{"source", source(version.config.origin)},
                {"generation", version.generation.value},
                {"pools", std::move(pools)}};
    }

    [[nodiscard]] json::array take_sources() const {
        json::array list;
        for (const config::Source* source : sources_) {
            list.push_back({{"path", source->path},
                            {"text", source->text},
                            {"variables", to_json(source->variables)},
                            {"cpus", source->cpus}});
        }
        return list;
    }

  private:
    std::vector<const config::Source*> sources_;
};

std::map<std::string, std::string> words(const json::value& value) {
    std::map<std::string, std::string> words;
    for (const auto& [key, word] : value.as_object()) {
        words[std::string(key)] = text(word);
    }
    return words;
}

/// With a sentence; whatever else is thrown in here says that the document has another shape.
struct Unloadable : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// Throws what Boost.JSON throws at a document of another shape, and Unloadable where a text cannot
/// be loaded any more.
class GenerationsReader {
  public:
    explicit GenerationsReader(const json::object& root)
        : root_(root), file_(text(root.at("file"))) {
        for (const json::value& source : root.at("sources").as_array()) {
            config::Environment environment;
            environment.cpus = source.at("cpus").to_number<std::uint32_t>();
            environment.variables = words(source.at("variables"));
            config::Loaded loaded =
                config::load_text(text(source.at("text")), text(source.at("path")), environment);
            if (!loaded.config) {
                throw Unloadable(loaded.errors.empty() ? kNotOurs : loaded.errors.front().text());
            }
            loaded.config->file = file_;
            configs_.push_back(std::move(*loaded.config));
        }
    }

    KeptGenerations read() {
        KeptGenerations kept;
        kept.file = configs_.at(number<std::uint64_t>(root_.at("read")));
        for (const json::value& line : root_.at("specs").as_array()) {
            const config::Config& config = configs_.at(number<std::uint64_t>(line.at("source")));
            const config::Pool* pool = config.find_pool(text(line.at("pool")));
            if (pool == nullptr) {
                throw Unloadable(kNotOurs);
            }
            Result<SpecPtr> spec = restore_spec(*pool, config.origin, words(line.at("env_file")));
            if (!spec) {
                throw Unloadable(spec.error().message);
            }
            kept.specs[generation(line.at("generation"))][pool->name] = std::move(*spec);
        }
        core::Legacy& legacy = kept.legacy;
        legacy.current = version(kept, root_.at("current"));
        legacy.base = maybe_version(kept, "base");
        legacy.previous = maybe_version(kept, "previous");
        legacy.goes_back = root_.at("goes_back").as_bool();
        legacy.failure = text(root_.at("failure"));
        legacy.ends = words(root_.at("ends"));
        for (const json::value& pool : root_.at("paused").as_array()) {
            legacy.paused.insert(text(pool));
        }
        return kept;
    }

  private:
    /// Each of its pools can be started.
    core::Version version(const KeptGenerations& kept, const json::value& value) const {
        core::Version version;
        version.config = configs_.at(number<std::uint64_t>(value.at("source")));
        version.generation = generation(value.at("generation"));
        for (config::Pool& pool : version.config.pools) {
            const json::value& line = value.at("pools").at(pool.name);
            pool.workers = line.at("workers").to_number<std::uint32_t>();
            const core::Generation runs = generation(line.at("generation"));
            if (pool.workers == 0 || kept.find(runs, pool.name) == nullptr) {
                throw Unloadable(kNotOurs);
            }
            version.pools[pool.name] = runs;
        }
        return version;
    }

    std::optional<core::Version> maybe_version(const KeptGenerations& kept, const char* key) const {
        const json::value& value = root_.at(key);
        return value.is_null() ? std::nullopt : std::optional(version(kept, value));
    }

    const json::object& root_;
    std::string file_;
    std::vector<config::Config> configs_;
};

Result<void> check_own(const std::string& path) {
    struct stat status {};

    if (::lstat(path.c_str(), &status) != 0) {
        return system_error(path);
    }
    if (!S_ISREG(status.st_mode) || status.st_uid != ::geteuid() || (status.st_mode & 0022U) != 0) {
        return plain_error(path + ": is not a file that only its owner, us, can write");
    }
    return {};
}

}  // namespace

void KeptGenerations::move_to(const std::string& path) {
    file.file = path;
    legacy.current.config.file = path;
    for (std::optional<core::Version>* version : {&legacy.base, &legacy.previous}) {
        if (*version) {
            (*version)->config.file = path;
        }
    }
}

std::string generations_path(const std::string& dir, const std::string& cluster) {
    return dir + "/" + cluster + ".generations";
}

std::string generations_text(const core::Legacy& legacy, const SpecsByGeneration& specs,
                             const config::Config& file) {
    GenerationsWriter writer;
    const auto maybe = [&writer](const std::optional<core::Version>& version) {
        return version ? json::value(writer.version(*version)) : json::value(nullptr);
    };
    json::array lines;
    for (const auto& [generation, pools] : specs) {
        for (const auto& [name, spec] : pools) {
            lines.push_back({{"generation", generation.value},
                             {"pool", name},
                             {"source", writer.source(spec->origin)},
                             {"env_file", to_json(spec->env_file)}});
        }
    }
    json::object root;
    root["format"] = kGenerationsFormat;
    root["file"] = file.file;
    root["read"] = writer.source(file.origin);
    root["current"] = writer.version(legacy.current);
    root["base"] = maybe(legacy.base);
    root["previous"] = maybe(legacy.previous);
    root["goes_back"] = legacy.goes_back;
    root["failure"] = legacy.failure;
    root["ends"] = to_json(legacy.ends);
    root["paused"] = json::array(legacy.paused.begin(), legacy.paused.end());
    root["specs"] = std::move(lines);
    root["sources"] = writer.take_sources();
    return json::serialize(root) + "\n";
}

Result<void> write_generations(const std::string& path, const core::Legacy& legacy,
                               const SpecsByGeneration& specs, const config::Config& file) {
    return replace_file(path, generations_text(legacy, specs, file), 0600);
}

Result<KeptGenerations> parse_generations(std::string_view text) {
    const std::optional<json::object> root = json_reading::document(text);
    if (!root) {
        return plain_error(kNotOurs);
    }
    try {
        if (number<std::uint64_t>(root->at("format")) != kGenerationsFormat) {
            return plain_error(kNotOurs);
        }
        return GenerationsReader(*root).read();
    } catch (const Unloadable& why) {
        return plain_error(why.what());
    } catch (const std::exception&) {
        return plain_error(kNotOurs);
    }
}

Result<KeptGenerations> read_generations(const std::string& path) {
    if (auto own = check_own(path); !own) {
        return own.error();
    }
    const Result<std::string> content = config::read_file(path, kMostBytes);
    if (!content) {
        return Error{content.error().code, path + ": " + content.error().message};
    }
    auto kept = parse_generations(*content);
    return kept ? std::move(kept) : Error{kept.error().code, path + ": " + kept.error().message};
}

}  // namespace topsman::supervisor
