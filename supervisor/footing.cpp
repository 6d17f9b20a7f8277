#include "supervisor/footing.hpp"

#include "config/diff.hpp"

#include <utility>

namespace topsman::supervisor {

namespace {

/// What no reload can change takes a start, and this is one: it goes on with the file.
bool leads_to(const KeptGenerations& kept, const config::Config& file) {
    return config::diff(kept.legacy.footing().config, file).refused.empty();
}

/// The file still says what was rolled back.
bool has_undone(const KeptGenerations& kept, const config::Config& file) {
    const core::Legacy& legacy = kept.legacy;
    const bool is_under_way = legacy.base && !legacy.goes_back;
    return !is_under_way && file == kept.file && legacy.current.config.pools != file.pools;
}

bool goes_on(const Candidate& file, const KeptGenerations& kept, bool has_workers) {
    if (!is_good(file)) {
        return true;
    }
    return has_workers ? leads_to(kept, *file.loaded.config)
                       : has_undone(kept, *file.loaded.config);
}

Specs specs_of(const KeptGenerations& kept, const core::Version& version) {
    Specs specs;
    for (const auto& [name, generation] : version.pools) {
        specs[name] = kept.find(generation, name);
    }
    return specs;
}

}  // namespace

bool is_good(const Candidate& file) {
    return file.loaded.config && file.trouble.empty();
}

const config::Config& ground_config(const Candidate& file,
                                    const std::optional<KeptGenerations>& kept) {
    return is_good(file) ? *file.loaded.config : kept.value().legacy.footing().config;
}

Footing choose_footing(Candidate file, std::optional<KeptGenerations> kept, bool has_workers) {
    Footing footing;
    if (kept && goes_on(file, *kept, has_workers)) {
        const core::Version& version = kept->legacy.footing();
        footing.config = version.config;
        footing.specs = specs_of(*kept, version);
        footing.file = kept->file;
        footing.news = std::move(file);
        footing.kept = std::move(kept);
        return footing;
    }
    footing.config = *file.loaded.config;
    footing.file = footing.config;
    footing.specs = std::move(file.specs);
    return footing;
}

}  // namespace topsman::supervisor
