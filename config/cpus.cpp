#include "config/cpus.hpp"

#include "config/read_file.hpp"
#include "config/units.hpp"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <filesystem>
#include <sched.h>
#include <sstream>
#include <string_view>
#include <vector>

namespace topsman::config {
namespace {

constexpr std::size_t kMostProcText = std::size_t{1} << 20;

std::string text_of(const std::string& path) {
    auto text = read_file(path, kMostProcText);
    return text ? *text : std::string();
}

/// mountinfo writes blanks and backslashes as \ooo (proc_pid_mountinfo(5)).
std::string unescaped(std::string_view text) {
    std::string result;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\\' && i + 3 < text.size()) {
            const auto digit = [&](std::size_t n) { return text[i + n] - '0'; };
            result += static_cast<char>(digit(1) * 64 + digit(2) * 8 + digit(3));
            i += 3;
        } else {
            result += text[i];
        }
    }
    return result;
}

bool has_word(std::string_view words, std::string_view word) {
    std::stringstream stream{std::string(words)};
    for (std::string one; std::getline(stream, one, ',');) {
        if (one == word) {
            return true;
        }
    }
    return false;
}

struct Hierarchy {
    std::string mount;  ///< where it is mounted
    std::string root;   ///< which of its cgroups is seen there
};

/// The mount of cgroup2, or of the v1 hierarchy with the cpu controller.
std::optional<Hierarchy> find_mount(const std::string& mountinfo, bool v2) {
    std::istringstream lines(mountinfo);
    for (std::string line; std::getline(lines, line);) {
        const std::size_t dash = line.find(" - ");
        if (dash == std::string::npos) {
            continue;
        }
        std::istringstream front(line.substr(0, dash));
        std::istringstream back(line.substr(dash + 3));
        std::string id, parent, device, root, mount, type, source, options;
        front >> id >> parent >> device >> root >> mount;
        back >> type >> source >> options;
        if (v2 ? type == "cgroup2" : type == "cgroup" && has_word(options, "cpu")) {
            return Hierarchy{unescaped(mount), unescaped(root)};
        }
    }
    return std::nullopt;
}

/// Our cgroup in /proc/self/cgroup: "0::/a/b", or "4:cpu,cpuacct:/a/b".
std::optional<std::string> find_cgroup(const std::string& text, bool v2) {
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        const std::size_t first = line.find(':');
        const std::size_t second = line.find(':', first + 1);
        if (first == std::string::npos || second == std::string::npos) {
            continue;
        }
        const std::string controllers = line.substr(first + 1, second - first - 1);
        const bool is_v2 = line.substr(0, first) == "0" && controllers.empty();
        if (v2 ? is_v2 : has_word(controllers, "cpu")) {
            return line.substr(second + 1);
        }
    }
    return std::nullopt;
}

std::optional<double> ratio(const std::string& quota, const std::string& period) {
    char* end = nullptr;
    const double q = std::strtod(quota.c_str(), &end);
    if (end == quota.c_str()) {
        return std::nullopt;  // "max"
    }
    const double p = std::strtod(period.c_str(), nullptr);
    return q > 0 && p > 0 ? std::optional(q / p) : std::nullopt;
}

std::optional<double> quota_of(const std::string& folder, bool v2) {
    if (!v2) {
        return ratio(text_of(folder + "/cpu.cfs_quota_us"), text_of(folder + "/cpu.cfs_period_us"));
    }
    std::istringstream words(text_of(folder + "/cpu.max"));
    std::string quota, period;
    words >> quota >> period;
    return ratio(quota, period);
}

/// The least quota of our cgroup and all that contain it, as far as they are visible.
std::optional<double> least_quota(const std::string& root, bool v2) {
    const auto mount = find_mount(text_of(root + "/proc/self/mountinfo"), v2);
    const auto cgroup = find_cgroup(text_of(root + "/proc/self/cgroup"), v2);
    if (!mount || !cgroup) {
        return std::nullopt;
    }
    std::string below = *cgroup;
    if (mount->root != "/") {
        // A container sees its own cgroup as the root of the mount.
        below = below.starts_with(mount->root) ? below.substr(mount->root.size()) : "";
    }
    if (below.find("..") != std::string::npos) {
        below.clear();  // outside of our cgroup namespace
    }
    const std::filesystem::path top(root + mount->mount);
    std::filesystem::path folder = (top / std::filesystem::path(below).relative_path());
    std::optional<double> least;
    for (int level = 0; level < 128; ++level) {
        if (auto quota = quota_of(folder.string(), v2); quota && (!least || *quota < *least)) {
            least = quota;
        }
        if (folder == top || !folder.has_parent_path() || folder == folder.parent_path()) {
            break;
        }
        folder = folder.parent_path();
    }
    return least;
}

std::uint32_t affinity_cpus() {
    // The kernel's mask may be larger than cpu_set_t (sched_setaffinity(2), NOTES).
    for (std::size_t cpus = 1'024; cpus <= 65'536; cpus *= 2) {
        cpu_set_t* set = CPU_ALLOC(cpus);
        if (set == nullptr) {
            break;
        }
        const std::size_t size = CPU_ALLOC_SIZE(cpus);
        CPU_ZERO_S(size, set);
        const bool known = ::sched_getaffinity(0, size, set) == 0;
        const int count = known ? CPU_COUNT_S(size, set) : 0;
        CPU_FREE(set);
        if (count > 0) {
            return static_cast<std::uint32_t>(count);
        }
    }
    return 1;
}

}  // namespace

std::optional<std::set<std::uint32_t>> online_cpus(const std::string& root) {
    // "0-3,8-11\n": as in cpuset(7), FORMATS.
    std::string text = text_of(root + "/sys/devices/system/cpu/online");
    std::erase(text, '\n');
    std::set<std::uint32_t> cpus;
    std::istringstream items(text);
    for (std::string item; std::getline(items, item, ',');) {
        const auto range = parse_cpu_range(item);
        if (!range) {
            return std::nullopt;
        }
        for (std::uint32_t cpu = range->first; cpu <= range->last; ++cpu) {
            cpus.insert(cpu);
        }
    }
    return cpus.empty() ? std::nullopt : std::optional(std::move(cpus));
}

std::optional<std::uint32_t> cgroup_cpus(const std::string& root) {
    std::optional<double> least;
    for (const bool v2 : {true, false}) {
        if (auto quota = least_quota(root, v2); quota && (!least || *quota < *least)) {
            least = quota;
        }
    }
    if (!least) {
        return std::nullopt;
    }
    // A quota of 2.0000001 CPUs out of rounding is not three.
    return static_cast<std::uint32_t>(std::clamp(std::ceil(*least - 1e-6), 1.0, 65'536.0));
}

std::uint32_t allowed_cpus() {
    const std::uint32_t affinity = affinity_cpus();
    const auto quota = cgroup_cpus("");
    return quota ? std::min(affinity, *quota) : affinity;
}

}  // namespace topsman::config
