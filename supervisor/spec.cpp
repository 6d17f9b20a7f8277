#include "supervisor/spec.hpp"

#include "config/env_file.hpp"

namespace topsman::supervisor {

namespace {

/// FNV-1a over values and their lengths, so that ["a b"] is not ["a", "b"].
class Fingerprint {
  public:
    void add(std::uint64_t number) {
        for (int byte = 0; byte < 8; ++byte, number >>= 8U) {
            hash_ = (hash_ ^ (number & 0xffU)) * 0x100'0000'01b3;
        }
    }

    void add(const std::string& text) {
        add(std::uint64_t{text.size()});
        for (const char letter : text) {
            hash_ = (hash_ ^ static_cast<unsigned char>(letter)) * 0x100'0000'01b3;
        }
    }

    void add(const std::map<std::string, std::string>& variables) {
        add(std::uint64_t{variables.size()});
        for (const auto& [name, value] : variables) {
            add(name);
            add(value);
        }
    }

    void add(const std::vector<std::string>& words) {
        add(std::uint64_t{words.size()});
        for (const std::string& word : words) {
            add(word);
        }
    }

    [[nodiscard]] std::uint64_t value() const { return hash_ == 0 ? 1 : hash_; }

  private:
    std::uint64_t hash_ = 0xcbf2'9ce4'8422'2325;
};

std::uint64_t fingerprint_of(const Spec& spec) {
    // All of it by name: a key that comes later does not compile before it is thought of here.
    const auto& [command, listeners, sockets, segment, environment, env_file, working_directory,
                 umask, user, group, limits, nice, cpu_affinity, output, on_master_death] =
        spec.pool.exec;
    Fingerprint print;
    print.add(command);
    print.add(listeners);
    print.add(sockets);
    print.add(static_cast<std::uint64_t>(segment));
    print.add(environment);
    print.add(env_file);
    print.add(spec.env_file);
    print.add(working_directory);
    print.add(umask ? std::uint64_t{*umask} + 1 : 0);
    print.add(user);
    print.add(group);
    if (spec.identity) {
        print.add(std::uint64_t{spec.identity->uid});
        print.add(std::uint64_t{spec.identity->gid});
        for (const auto member_of : spec.identity->groups) {
            print.add(std::uint64_t{member_of});
        }
    }
    for (const auto& [name, value] : limits) {
        print.add(name);
        print.add(static_cast<std::uint64_t>(value));
    }
    print.add(static_cast<std::uint64_t>(nice ? *nice + 100 : 0));
    print.add(std::uint64_t{cpu_affinity.by_slot});
    for (const auto cpu : cpu_affinity.cpus) {
        print.add(std::uint64_t{cpu});
    }
    print.add(static_cast<std::uint64_t>(output));
    print.add(static_cast<std::uint64_t>(on_master_death));
    return print.value();
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

Result<SpecPtr> prepare_spec(const config::Pool& pool, const config::Origin& origin) {
    std::map<std::string, std::string> variables;
    if (!pool.exec.env_file.empty()) {
        auto values = config::read_env_file(pool.exec.env_file);
        if (!values) {
            return Error{values.error().code,
                         "pools." + pool.name + ".env_file: " + values.error().message};
        }
        variables = std::move(*values);
    }
    return restore_spec(pool, origin, std::move(variables));
}

Result<SpecPtr> restore_spec(const config::Pool& pool, const config::Origin& origin,
                             std::map<std::string, std::string> env_file) {
    auto spec = std::make_shared<Spec>();
    spec->pool = pool;
    spec->origin = origin;
    spec->env_file = std::move(env_file);
    const std::string where = "pools." + pool.name + ".";
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
    spec->fingerprint = fingerprint_of(*spec);
    return SpecPtr(std::move(spec));
}

Result<Specs> prepare_specs(const config::Config& config) {
    Specs specs;
    for (const config::Pool& pool : config.pools) {
        Result<SpecPtr> spec = prepare_spec(pool, config.origin);
        if (!spec) {
            return spec.error();
        }
        specs[pool.name] = std::move(*spec);
    }
    return specs;
}

}  // namespace topsman::supervisor
