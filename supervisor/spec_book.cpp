#include "supervisor/spec_book.hpp"

namespace topsman::supervisor {

SpecPtr find_spec(const SpecsByGeneration& generations, core::Generation generation,
                  const std::string& pool) {
    const auto specs = generations.find(generation);
    if (specs == generations.end()) {
        return nullptr;
    }
    const auto found = specs->second.find(pool);
    return found == specs->second.end() ? nullptr : found->second;
}

std::uint64_t SpecBook::fingerprint(const core::PoolView& pool) const {
    const SpecPtr spec = find(pool.generation, pool.name);
    return spec == nullptr ? 0 : spec->fingerprint;
}

void SpecBook::install(const Specs& prepared, const std::vector<core::PoolView>& pools,
                       const config::Config& config) {
    for (const core::PoolView& pool : pools) {
        const auto found = prepared.find(pool.name);
        const config::Pool* wanted = config.find_pool(pool.name);
        if (found != prepared.end() && wanted != nullptr && found->second->pool == *wanted) {
            generations_[pool.generation][pool.name] = found->second;
        }
    }
}

void SpecBook::renew(const SpecsByGeneration& renewed) {
    for (const auto& [generation, specs] : renewed) {
        const auto kept = generations_.find(generation);
        if (kept == generations_.end()) {
            continue;
        }
        for (const auto& [name, spec] : specs) {
            const auto before = kept->second.find(name);
            if (before != kept->second.end() && before->second->pool == spec->pool) {
                before->second = spec;
            }
        }
    }
}

bool SpecBook::keep_only(const std::set<core::Generation>& generations) {
    return std::erase_if(generations_,
                         [&](const auto& entry) { return !generations.contains(entry.first); }) > 0;
}

}  // namespace topsman::supervisor
