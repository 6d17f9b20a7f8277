#include "config/units.hpp"

#include "config/limits.hpp"
#include "config/names.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <csignal>
#include <cstring>
#include <limits>
#include <optional>

namespace topsman::config {
namespace {

std::string quoted(std::string_view text) {
    return "\"" + shown(text) + "\"";
}

/// Leading decimal digits; nullopt when there are none or too many. Takes them off `text`.
std::optional<std::uint64_t> take_digits(std::string_view& text) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{}) {
        return std::nullopt;
    }
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    return value;
}

struct Unit {
    std::string_view name;
    std::uint64_t factor;
};

constexpr std::array<Unit, 5> kDurationUnits{{
    {"ms", 1},
    {"s", 1'000},
    {"m", 60'000},
    {"h", 3'600'000},
    {"d", 86'400'000},
}};

constexpr std::uint64_t kLongest = 366ULL * 86'400'000;

constexpr std::array<Unit, 5> kSizeUnits{{
    {"B", 1},
    {"KiB", 1ULL << 10},
    {"MiB", 1ULL << 20},
    {"GiB", 1ULL << 30},
    {"TiB", 1ULL << 40},
}};

constexpr std::uint64_t kLargest = 1ULL << 62;

template <std::size_t N>
const Unit* find_unit(const std::array<Unit, N>& units, std::string_view name) {
    const auto found = std::find_if(units.begin(), units.end(),
                                    [&](const Unit& unit) { return unit.name == name; });
    return found == units.end() ? nullptr : &*found;
}

/// The unit that a wrong one was meant to be: "sec" s, "min" m, "KB" and "k" KiB.
template <std::size_t N>
std::string_view guess_unit(const std::array<Unit, N>& units, std::string_view name) {
    for (const Unit& unit : units) {
        if (!name.empty() && (name[0] | 0x20) == (unit.name[0] | 0x20) &&
            (unit.name != "ms" || name.starts_with("ms") || name.starts_with("mil"))) {
            return unit.name;
        }
    }
    return "";
}

struct SignalName {
    std::string_view name;
    int number;
};

constexpr SignalName kSignals[] = {
    {"HUP", SIGHUP},   {"INT", SIGINT},       {"QUIT", SIGQUIT}, {"ILL", SIGILL},
    {"TRAP", SIGTRAP}, {"ABRT", SIGABRT},     {"IOT", SIGABRT},  {"BUS", SIGBUS},
    {"FPE", SIGFPE},   {"KILL", SIGKILL},     {"USR1", SIGUSR1}, {"SEGV", SIGSEGV},
    {"USR2", SIGUSR2}, {"PIPE", SIGPIPE},     {"ALRM", SIGALRM}, {"TERM", SIGTERM},
    {"CHLD", SIGCHLD}, {"CONT", SIGCONT},     {"STOP", SIGSTOP}, {"TSTP", SIGTSTP},
    {"TTIN", SIGTTIN}, {"TTOU", SIGTTOU},     {"URG", SIGURG},   {"XCPU", SIGXCPU},
    {"XFSZ", SIGXFSZ}, {"VTALRM", SIGVTALRM}, {"PROF", SIGPROF}, {"WINCH", SIGWINCH},
    {"IO", SIGIO},     {"PWR", SIGPWR},       {"SYS", SIGSYS},
};

std::optional<int> signal_number(std::string_view text) {
    if (auto number = take_digits(text)) {
        return text.empty() && *number >= 1 && *number <= 64
                   ? std::optional(static_cast<int>(*number))
                   : std::nullopt;
    }
    if (text.starts_with("SIG")) {
        text.remove_prefix(3);
    }
    for (const SignalName& signal : kSignals) {
        if (signal.name == text) {
            return signal.number;
        }
    }
    if (text.starts_with("RTMIN")) {
        text.remove_prefix(5);
        if (text.empty()) {
            return SIGRTMIN;
        }
        if (text[0] == '+') {
            text.remove_prefix(1);
            const auto offset = take_digits(text);
            const auto most = static_cast<std::uint64_t>(SIGRTMAX - SIGRTMIN);
            if (offset && text.empty() && *offset <= most) {
                return SIGRTMIN + static_cast<int>(*offset);
            }
        }
    }
    return std::nullopt;
}

}  // namespace

Result<Duration> parse_duration(std::string_view text) {
    std::string_view rest = text;
    const auto number = take_digits(rest);
    if (!number) {
        return plain_error(quoted(text) +
                           " is no duration: write a number and a unit, like 250ms, "
                           "30s, 5m or 1h");
    }
    if (rest.empty()) {
        return plain_error(quoted(text) + " has no unit: write " + shown(text) + "s for seconds, " +
                           shown(text) + "ms for milliseconds, " + shown(text) + "m for minutes");
    }
    const Unit* unit = find_unit(kDurationUnits, rest);
    if (unit == nullptr) {
        if (rest[0] == '.') {
            return plain_error(quoted(text) +
                               " has a fraction: write whole milliseconds, like "
                               "1500ms");
        }
        const std::string guess(guess_unit(kDurationUnits, rest));
        return plain_error(quoted(text) + " has an unknown unit" +
                           (guess.empty() ? ": the units are ms, s, m, h and d"
                                          : ": write " + std::to_string(*number) + guess));
    }
    if (*number > kLongest / unit->factor) {
        return plain_error(quoted(text) + " is more than 366 days");
    }
    return Duration(static_cast<Duration::rep>(*number * unit->factor));
}

Result<std::int64_t> parse_size(std::string_view text) {
    std::string_view rest = text;
    const auto number = take_digits(rest);
    if (!number) {
        return plain_error(quoted(text) +
                           " is no size: write a number and a unit, like 64KiB, "
                           "512MiB or 1GiB");
    }
    if (rest.empty() && *number == 0) {
        return std::int64_t{0};
    }
    if (rest.empty()) {
        return plain_error(quoted(text) + " has no unit: write " + shown(text) + "B for bytes, " +
                           shown(text) + "KiB or " + shown(text) + "MiB");
    }
    const Unit* unit = find_unit(kSizeUnits, rest);
    if (unit == nullptr) {
        const std::string guess(guess_unit(kSizeUnits, rest));
        return plain_error(quoted(text) + " has an unknown unit" +
                           (guess.empty() ? ": the units are B, KiB, MiB, GiB and TiB"
                                          : ": write " + std::to_string(*number) + guess));
    }
    if (*number >= kLargest / unit->factor) {
        return plain_error(quoted(text) + " is more than 2^62 bytes");
    }
    return static_cast<std::int64_t>(*number * unit->factor);
}

Result<std::uint32_t> parse_count(std::string_view text) {
    std::string_view rest = text;
    const auto number = take_digits(rest);
    if (!number || !rest.empty()) {
        return plain_error(quoted(text) + " is no whole number: write digits only, like 4");
    }
    if (*number > std::numeric_limits<std::uint32_t>::max()) {
        return plain_error(quoted(text) + " is too large");
    }
    return static_cast<std::uint32_t>(*number);
}

Result<CpuRange> parse_cpu_range(std::string_view text) {
    const std::size_t dash = text.find('-');
    const auto first = parse_count(text.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : parse_count(text.substr(dash + 1));
    if (!first || !last) {
        return plain_error("\"" + shown(text) +
                           "\" is no CPU: write a number like 3, or a range "
                           "like 0-3");
    }
    if (*last < *first) {
        return plain_error("the range " + shown(text) + " ends before it begins: write " +
                           std::to_string(*last) + "-" + std::to_string(*first));
    }
    if (*last > kMaxCpu) {
        return plain_error("CPU " + std::to_string(*last) + " cannot be: they end at " +
                           std::to_string(kMaxCpu));
    }
    return CpuRange{*first, *last};
}

Result<std::uint64_t> parse_rate(std::string_view text) {
    constexpr std::uint64_t kSecond = 1'000'000'000;
    constexpr std::uint64_t kShortest = 1'000;
    const std::size_t slash = text.find('/');
    const std::string_view unit = slash == std::string_view::npos ? "" : text.substr(slash + 1);
    std::string_view digits = text.substr(0, slash);
    const auto number = take_digits(digits);
    const std::uint64_t period = unit == "s"   ? kSecond
                                 : unit == "m" ? 60 * kSecond
                                 : unit == "h" ? 3'600 * kSecond
                                               : 0;
    if (!number || !digits.empty() || period == 0 || *number == 0) {
        return plain_error(quoted(text) +
                           " is no rate: write how many a second, minute or hour, like 1000/s, "
                           "60/m or 5/h");
    }
    const auto count = static_cast<std::uint64_t>(*number);
    if (count > period / kShortest) {
        return plain_error(quoted(text) + " is too fast: at most 1000000/s");
    }
    return (period + count / 2) / count;
}

Result<std::string> parse_word(std::string_view text) {
    if (text.empty()) {
        return plain_error("an empty name: write one, or remove the key");
    }
    return std::string(text);
}

Result<double> parse_real(std::string_view text) {
    double value = 0;
    const bool plain = text.find_first_not_of("0123456789.") == std::string_view::npos;
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
    if (!plain || error != std::errc{} || end != text.data() + text.size()) {
        return plain_error(quoted(text) +
                           " is no number: write digits and at most one point, "
                           "like 0.2");
    }
    return value;
}

Result<int> parse_signal(std::string_view text) {
    if (const auto number = signal_number(text)) {
        return *number;
    }
    std::vector<std::string> known;
    for (const SignalName& signal : kSignals) {
        known.push_back("SIG" + std::string(signal.name));
    }
    std::string upper(text.substr(0, 64));
    std::transform(upper.begin(), upper.end(), upper.begin(),
                   [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
    std::string meant;
    if (signal_number(upper)) {
        meant = upper;
    } else if (text.find_first_of("0123456789") != 0) {
        meant = nearest(upper.starts_with("SIG") ? upper : "SIG" + upper, known);
    }
    return plain_error(quoted(text) + " is no signal" +
                       (meant.empty() ? ": write its name, like SIGTERM, or its number, 1 to 64"
                                      : ": did you mean " + meant + "?"));
}

Result<std::uint32_t> parse_mode(std::string_view text) {
    std::uint32_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 8);
    if (text.size() < 2 || text[0] != '0' || error != std::errc{} ||
        end != text.data() + text.size() || value > 0777) {
        return plain_error(quoted(text) +
                           " is no file mode: write it in octal with a leading "
                           "zero, like \"0660\", at most \"0777\"");
    }
    return value;
}

Result<bool> parse_bool(std::string_view text) {
    if (text == "true" || text == "false") {
        return text == "true";
    }
    for (const std::string_view yes :
         {"yes", "Yes", "YES", "on", "On", "ON", "True", "TRUE", "1"}) {
        if (text == yes) {
            return plain_error(quoted(text) + " is not accepted here: write true");
        }
    }
    for (const std::string_view no :
         {"no", "No", "NO", "off", "Off", "OFF", "False", "FALSE", "0"}) {
        if (text == no) {
            return plain_error(quoted(text) + " is not accepted here: write false");
        }
    }
    return plain_error(quoted(text) + " is neither true nor false: write one of them");
}

std::string signal_name(int signal) {
    for (const SignalName& known : kSignals) {
        if (known.number == signal) {
            return "SIG" + std::string(known.name);
        }
    }
    if (signal >= SIGRTMIN && signal <= SIGRTMAX) {
        return signal == SIGRTMIN ? "SIGRTMIN" : "SIGRTMIN+" + std::to_string(signal - SIGRTMIN);
    }
    return std::to_string(signal);
}

std::string duration_text(Duration duration) {
    const auto count = static_cast<std::uint64_t>(duration.count());
    const Unit* best = &kDurationUnits[count == 0 ? 1 : 0];
    for (const Unit& unit : kDurationUnits) {
        if (count != 0 && count % unit.factor == 0) {
            best = &unit;
        }
    }
    return std::to_string(count / best->factor) + std::string(best->name);
}

}  // namespace topsman::config
