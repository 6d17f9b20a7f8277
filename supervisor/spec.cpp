#include "supervisor/spec.hpp"

#include "config/env_file.hpp"

namespace topsman::supervisor {

namespace {

Result<SpecPtr> prepare(const config::Pool& pool) {
    auto spec = std::make_shared<Spec>();
    spec->pool = pool;
    const std::string where = "pools." + pool.name + ".";
    if (!pool.exec.env_file.empty()) {
        auto values = config::read_env_file(pool.exec.env_file);
        if (!values) {
            return Error{values.error().code, where + "env_file: " + values.error().message};
        }
        spec->env_file = std::move(*values);
    }
    if (!pool.exec.user.empty() || !pool.exec.group.empty()) {
        auto identity = posix::resolve_user(pool.exec.user, pool.exec.group);
        if (!identity) {
            return Error{identity.error().code, where + "user: " + identity.error().message};
        }
        spec->identity = std::move(*identity);
    }
    for (const auto& [name, value] : pool.exec.limits) {
        const std::optional<int> resource = posix::limit_number(name);
        if (!resource) {
            return plain_error(where + "limits." + name + ": not a limit");
        }
        spec->limits.emplace_back(*resource, value);
    }
    return SpecPtr(std::move(spec));
}

}  // namespace

SpecPtr with_policies(const SpecPtr& spec, const config::Pool& policies) {
    config::Pool pool = policies;
    pool.exec = spec->pool.exec;
    if (pool == spec->pool) {
        return spec;
    }
    auto fitted = std::make_shared<Spec>(*spec);
    fitted->pool = std::move(pool);
    return fitted;
}

Result<Specs> prepare_specs(const std::vector<config::Pool>& pools) {
    Specs specs;
    for (const config::Pool& pool : pools) {
        Result<SpecPtr> spec = prepare(pool);
        if (!spec) {
            return spec.error();
        }
        specs[pool.name] = std::move(*spec);
    }
    return specs;
}

}  // namespace topsman::supervisor
