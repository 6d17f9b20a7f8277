#include "config/cpus.hpp"

#include "loading.hpp"

namespace topsman::config {
namespace {

constexpr const char* kV2Mount = "30 24 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw\n";

TEST(Cpus, ThereIsAtLeastOne) {
    EXPECT_GE(allowed_cpus(), 1U);
}

TEST(Cpus, TheOnesThatAreSwitchedOn) {
    const TempFolder root;
    EXPECT_EQ(online_cpus(root.path("")), std::nullopt);
    root.write("sys/devices/system/cpu/online", "0-2,5\n");
    EXPECT_EQ(online_cpus(root.path("")), (std::set<std::uint32_t>{0, 1, 2, 5}));
    root.write("sys/devices/system/cpu/online", "nonsense\n");
    EXPECT_EQ(online_cpus(root.path("")), std::nullopt);
}

TEST(Cpus, WithoutCgroupsThereIsNoQuota) {
    const TempFolder root;
    EXPECT_EQ(cgroup_cpus(root.path("")), std::nullopt);
}

TEST(Cpus, AQuotaIsRoundedUp) {
    const TempFolder root;
    root.write("proc/self/cgroup", "0::/app\n");
    root.write("proc/self/mountinfo", kV2Mount);
    EXPECT_EQ(cgroup_cpus(root.path("")), std::nullopt);
    root.write("sys/fs/cgroup/app/cpu.max", "max 100000\n");
    EXPECT_EQ(cgroup_cpus(root.path("")), std::nullopt);
    root.write("sys/fs/cgroup/app/cpu.max", "150000 100000\n");
    EXPECT_EQ(cgroup_cpus(root.path("")), 2U);
    root.write("sys/fs/cgroup/app/cpu.max", "200000 100000\n");
    EXPECT_EQ(cgroup_cpus(root.path("")), 2U);
    root.write("sys/fs/cgroup/app/cpu.max", "1000 100000\n");
    EXPECT_EQ(cgroup_cpus(root.path("")), 1U);
}

TEST(Cpus, TheLeastQuotaOfAllLevelsCounts) {
    const TempFolder root;
    root.write("proc/self/cgroup", "0::/a.slice/b.slice/c.service\n");
    root.write("proc/self/mountinfo", kV2Mount);
    root.write("sys/fs/cgroup/a.slice/cpu.max", "300000 100000\n");
    root.write("sys/fs/cgroup/a.slice/b.slice/cpu.max", "max 100000\n");
    root.write("sys/fs/cgroup/a.slice/b.slice/c.service/cpu.max", "800000 100000\n");
    EXPECT_EQ(cgroup_cpus(root.path("")), 3U);
}

TEST(Cpus, AContainerSeesItsCgroupAsTheRoot) {
    const TempFolder root;
    root.write("proc/self/cgroup", "0::/\n");
    root.write("proc/self/mountinfo", kV2Mount);
    root.write("sys/fs/cgroup/cpu.max", "400000 100000\n");
    EXPECT_EQ(cgroup_cpus(root.path("")), 4U);
    root.write("proc/self/cgroup", "0::/../../other\n");
    EXPECT_EQ(cgroup_cpus(root.path("")), 4U);
}

TEST(Cpus, TheFirstVersionHasTwoFiles) {
    const TempFolder root;
    root.write("proc/self/cgroup", "4:cpu,cpuacct:/docker/abc\n3:cpuset:/docker/abc\n0::/\n");
    root.write("proc/self/mountinfo",
               "33 30 0:29 /docker/abc /sys/fs/cgroup/cpu,cpu\\040acct ro - cgroup cgroup "
               "rw,cpu,cpuacct\n34 30 0:30 / /sys/fs/cgroup/cpuset ro - cgroup cgroup rw,cpuset\n");
    root.write("sys/fs/cgroup/cpu,cpu acct/cpu.cfs_period_us", "100000\n");
    root.write("sys/fs/cgroup/cpu,cpu acct/cpu.cfs_quota_us", "-1\n");
    EXPECT_EQ(cgroup_cpus(root.path("")), std::nullopt);
    root.write("sys/fs/cgroup/cpu,cpu acct/cpu.cfs_quota_us", "250000\n");
    EXPECT_EQ(cgroup_cpus(root.path("")), 3U);
}

TEST(Cpus, RubbishIsNoQuota) {
    const TempFolder root;
    root.write("proc/self/cgroup", "\n:\n0:\n0::\n::::\n0::/app\n");
    root.write("proc/self/mountinfo", std::string("\n - \nx - cgroup2\n") + kV2Mount);
    root.write("sys/fs/cgroup/app/cpu.max", "rubbish\n");
    EXPECT_EQ(cgroup_cpus(root.path("")), std::nullopt);
}

}  // namespace
}  // namespace topsman::config
