#include "config/schema_pool.hpp"

#include "config/schema_exec.hpp"
#include "config/units.hpp"

#include <string>
#include <string_view>

namespace topsman::config {
namespace {

// Ranges that belong to one key.

Result<double> parse_factor(std::string_view text) {
    auto value = parse_real(text);
    if (value && (*value < 1 || *value > 1'000)) {
        return plain_error("a factor is from 1 to 1000: write 1 for delays that do not grow");
    }
    return value;
}

Result<double> parse_fraction(std::string_view text) {
    auto value = parse_real(text);
    if (value && *value > 1) {
        return plain_error("this is from 0 to 1: write 0.2 for a fifth");
    }
    return value;
}

Result<int> parse_stop_signal(std::string_view text) {
    auto value = parse_signal(text);
    if (value && (*value == 19 || *value == 18 || *value == 17)) {
        return plain_error(signal_name(*value) + " stops no program for good: write SIGTERM");
    }
    return value;
}

Result<RestartPolicy> parse_restart(std::string_view text) {
    static constexpr Word<RestartPolicy> kWords[] = {
        {"always", RestartPolicy::Always},
        {"on-failure", RestartPolicy::OnFailure},
        {"on-abnormal", RestartPolicy::OnAbnormal},
        {"no", RestartPolicy::No},
    };
    return choose<RestartPolicy>(text, kWords);
}

Result<BreakerAction> parse_action(std::string_view text) {
    static constexpr Word<BreakerAction> kWords[] = {
        {"degrade", BreakerAction::Degrade},
        {"stop", BreakerAction::Stop},
        {"exit", BreakerAction::Exit},
    };
    return choose<BreakerAction>(text, kWords);
}

Result<OnFailure> parse_on_failure(std::string_view text) {
    static constexpr Word<OnFailure> kWords[] = {
        {"rollback", OnFailure::Rollback},
        {"pause", OnFailure::Pause},
    };
    return choose<OnFailure>(text, kWords);
}

Result<SegmentUse> parse_segment(std::string_view text) {
    static constexpr Word<SegmentUse> kWords[] = {
        {"inherit", SegmentUse::Inherit},
        {"none", SegmentUse::None},
    };
    return choose<SegmentUse>(text, kWords);
}

Result<OnMasterDeath> parse_master_death(std::string_view text) {
    static constexpr Word<OnMasterDeath> kWords[] = {
        {"keep", OnMasterDeath::Keep},
        {"stop", OnMasterDeath::Stop},
    };
    return choose<OnMasterDeath>(text, kWords);
}

constexpr const char* kNoHttp =
    "not supported yet: write { by: exec, command: [curl, -fsS, \"http://localhost:8080/\"] }, or "
    "`by: listening`";

constexpr const char* kNoExecKey = "write { by: exec, command: [program, argument] }";

Result<ReadyBy> parse_ready_by(std::string_view text) {
    static constexpr Word<ReadyBy> kWords[] = {
        {"none", ReadyBy::None},           {"notify", ReadyBy::Notify},
        {"listening", ReadyBy::Listening}, {"exec", ReadyBy::Exec},
        {"http", ReadyBy::None, kNoHttp},
    };
    return choose<ReadyBy>(text, kWords);
}

constexpr const char* kNoFile =
    "not supported yet: write `to: prefix` and let the journal, or a redirection of topsman's own "
    "output, keep the file";

Result<OutputTo> parse_output(std::string_view text) {
    static constexpr Word<OutputTo> kWords[] = {
        {"inherit", OutputTo::Inherit},
        {"prefix", OutputTo::Prefix},
        {"file", OutputTo::Inherit, kNoFile},
    };
    return choose<OutputTo>(text, kWords);
}

Result<Duration> parse_run_time(std::string_view text) {
    auto value = parse_duration(text);
    if (value && value->count() == 0) {
        return plain_error("0s leaves a probe no time at all: write 5s");
    }
    return value;
}

void read_probe(Reader& reader, const At& at, Ready& ready) {
    read_program(reader, at, ready.command);
}

constexpr Field<Ready> kReady[] = {
    {"by", "(listening; none without listeners)", value<&Ready::by, parse_ready_by>},
    {"timeout", "30s", value<&Ready::timeout, parse_duration>},
    {"min_uptime", "1s", value<&Ready::min_uptime, parse_duration>},
    {"command", "(with exec required)", read_probe},
    {"interval", "1s", value<&Ready::interval, parse_duration>},
    {"run_timeout", "5s", value<&Ready::run_timeout, parse_run_time>},
    {"exec", nullptr, nullptr, kNoExecKey},
    {"http", nullptr, nullptr, kNoHttp},
};

constexpr Field<Watchdog> kWatchdog[] = {
    {"timeout", "0s", value<&Watchdog::timeout, parse_duration>},
    {"signal", "SIGABRT", value<&Watchdog::signal, parse_signal>},
    {"kill_after", "5s", value<&Watchdog::kill_after, parse_duration>},
};

constexpr Field<Backoff> kBackoff[] = {
    {"initial", "100ms", value<&Backoff::initial, parse_duration>},
    {"factor", "2", value<&Backoff::factor, parse_factor>},
    {"max", "30s", value<&Backoff::max, parse_duration>},
    {"jitter", "0.2", value<&Backoff::jitter, parse_fraction>},
    {"reset_after", "1m", value<&Backoff::reset_after, parse_duration>},
};

constexpr Field<StartLimit> kStartLimit[] = {
    {"burst", "0", value<&StartLimit::burst, parse_count>},
    {"interval", "10s", value<&StartLimit::interval, parse_duration>},
    {"action", "degrade", value<&StartLimit::action, parse_action>},
};

constexpr Field<Rollout> kRollout[] = {
    {"max_surge", "1", value<&Rollout::max_surge, parse_count>},
    {"max_unavailable", "0", value<&Rollout::max_unavailable, parse_count>},
    {"observe", "1s", value<&Rollout::observe, parse_duration>},
    {"delay", "0s", value<&Rollout::delay, parse_duration>},
    {"on_failure", "rollback", value<&Rollout::on_failure, parse_on_failure>},
};

constexpr Field<Recycle> kRecycle[] = {
    {"lifetime", "0s", value<&Recycle::lifetime, parse_duration>},
    {"requests", "0", value<&Recycle::requests, parse_count>},
    {"memory", "0", value<&Recycle::memory, parse_size>},
    {"jitter", "0.1", value<&Recycle::jitter, parse_fraction>},
};

constexpr Field<Exec> kOutput[] = {
    {"to", "inherit", value<&Exec::output, parse_output>},
    {"file", nullptr, nullptr, kNoFile},
    {"max_size", nullptr, nullptr, kNoFile},
    {"keep", nullptr, nullptr, kNoFile},
};

// The readers of keys that are more than one scalar.

void read_workers(Reader& reader, const At& at, Pool& pool) {
    if (at.node.kind == Node::Kind::Map) {
        reader.error(at,
                     "not supported yet: { min, max }; write a number, or auto for one per CPU");
        return;
    }
    if (at.node.kind == Node::Kind::Scalar && at.node.text == "auto") {
        pool.workers_auto = true;
        pool.workers = reader.environment().cpus;
        return;
    }
    reader.parse(
        at,
        [](const std::string& text) -> Result<std::uint32_t> {
            auto count = parse_count(text);
            if (!count) {
                return plain_error("\"" + shown(text) +
                                   "\" is no number of workers: write a whole "
                                   "number from 1, or auto");
            }
            if (*count == 0) {
                return plain_error("a pool has at least one worker: remove the pool instead");
            }
            return count;
        },
        pool.workers);
}

template <std::string Exec::*Member>
void read_path(Reader& reader, const At& at, Pool& pool) {
    const std::string* text = reader.scalar(at);
    if (text == nullptr) {
        return;
    }
    if (text->empty()) {
        reader.error(at, "an empty path: write one, or remove the key");
        return;
    }
    pool.exec.*Member = reader.absolute(*text);
}

template <auto Member, auto Parse>
void in_exec(Reader& reader, const At& at, Pool& pool) {
    reader.parse(at, Parse, pool.exec.*Member);
}

template <auto Member, auto& Fields>
void sub_map(Reader& reader, const At& at, Pool& pool) {
    read_map(reader, at, fields_of(Fields), pool.*Member);
}

void read_output(Reader& reader, const At& at, Pool& pool) {
    read_map(reader, at, fields_of(kOutput), pool.exec);
}

/// Where nobody says by what, a program that has listeners is looked at.
void complete_ready(Reader& reader, const At& at, Pool& pool) {
    const Node* ready = at.node.find("ready");
    const Node* by = ready == nullptr ? nullptr : ready->find("by");
    if (by == nullptr && !pool.exec.listeners.empty()) {
        pool.ready.by = ReadyBy::Listening;
        pool.ready.assumed = true;
    }
    if (by != nullptr && pool.ready.by == ReadyBy::Exec && ready->find("command") == nullptr) {
        reader.error({*by, at.path + ".ready.by", ""},
                     "a probe needs a command: write { by: exec, command: [program, argument] }");
    }
}

void read_listeners(Reader& reader, const At& at, Pool& pool) {
    pool.exec.listeners = reader.list(at);
}

constexpr Field<Pool> kPool[] = {
    {"command", "(required)", read_command},
    {"workers", "1", read_workers},
    {"listeners", "[]", read_listeners},
    {"segment", "inherit", in_exec<&Exec::segment, parse_segment>},
    {"environment", "{}", read_environment},
    {"env_file", "(none)", read_path<&Exec::env_file>},
    {"working_directory", "(the file's folder)", read_path<&Exec::working_directory>},
    {"umask", "(the master's)", in_exec<&Exec::umask, parse_umask>},
    {"user", "(top-level user)", in_exec<&Exec::user, parse_word>},
    {"group", "(the user's own)", in_exec<&Exec::group, parse_word>},
    {"limits", "{}", read_limits},
    {"nice", "(the master's)", in_exec<&Exec::nice, parse_nice>},
    {"cpu_affinity", "(the master's)", read_cpu_affinity},
    {"output", nullptr, read_output},
    {"ready", nullptr, sub_map<&Pool::ready, kReady>},
    {"watchdog", nullptr, sub_map<&Pool::watchdog, kWatchdog>},
    {"restart", "always", value<&Pool::restart, parse_restart>},
    {"backoff", nullptr, sub_map<&Pool::backoff, kBackoff>},
    {"start_limit", nullptr, sub_map<&Pool::start_limit, kStartLimit>},
    {"stop_signal", "SIGTERM", value<&Pool::stop_signal, parse_stop_signal>},
    {"stop_timeout", "30s", value<&Pool::stop_timeout, parse_duration>},
    {"on_master_death", "keep", in_exec<&Exec::on_master_death, parse_master_death>},
    {"rollout", nullptr, sub_map<&Pool::rollout, kRollout>},
    {"max_old_generations", "0", value<&Pool::max_old_generations, parse_count>},
    {"recycle", nullptr, sub_map<&Pool::recycle, kRecycle>},
    {"spares", "0", value<&Pool::spares, parse_count>},
    {"spare_lifetime", "5m", value<&Pool::spare_lifetime, parse_duration>},
};

}  // namespace

void read_pool(Reader& reader, const At& at, Pool& pool) {
    if (!read_map(reader, at, fields_of(kPool), pool)) {
        return;
    }
    if (at.node.find("command") == nullptr) {
        reader.error(at, "the pool has no command: write command: [program, argument]");
    }
    complete_ready(reader, at, pool);
}

void add_pool_keys(std::vector<KnownKey>& keys) {
    const std::string pool = "pools.NAME.";
    add_keys(keys, pool, fields_of(kPool));
    add_keys(keys, pool + "output.", fields_of(kOutput));
    add_keys(keys, pool + "ready.", fields_of(kReady));
    add_keys(keys, pool + "watchdog.", fields_of(kWatchdog));
    add_keys(keys, pool + "backoff.", fields_of(kBackoff));
    add_keys(keys, pool + "start_limit.", fields_of(kStartLimit));
    add_keys(keys, pool + "rollout.", fields_of(kRollout));
    add_keys(keys, pool + "recycle.", fields_of(kRecycle));
}

}  // namespace topsman::config
