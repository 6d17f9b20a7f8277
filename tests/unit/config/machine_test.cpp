// Warnings: what starts, but not as meant on this machine.

#include "loading.hpp"

#include <gmock/gmock.h>

#include <sys/stat.h>

namespace topsman::config {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string listener_file(const std::string& keys) {
    return "listeners: { a: { address: '127.0.0.1:0'" + keys +
           " } }\npools: { web: { command: [sleep], listeners: [a] } }\n";
}

std::vector<std::string> warnings(const std::string& text, const Environment& environment,
                                  const std::string& path = "/tmp/shop.yaml") {
    const Loaded loaded = load_text(text, path, environment);
    EXPECT_THAT(texts(loaded.errors), IsEmpty());
    return texts(loaded.warnings);
}

TEST(Machine, AGoodFileOnAGoodMachineHasNoWarnings) {
    EXPECT_THAT(warnings(listener_file(""), small_machine()), IsEmpty());
}

TEST(Machine, AListenerThatNobodyUsesIsOdd) {
    EXPECT_THAT(
        warnings("listeners: { a: { address: '[::]:0' } }\npools: { w: { command: [sleep] } }",
                 small_machine()),
        ElementsAre(HasSubstr("1:17: listeners.a: no pool uses this listener")));
}

TEST(Machine, TheKernelCutsTheBacklog) {
    Environment environment = small_machine();
    environment.somaxconn = 128;
    EXPECT_THAT(warnings(listener_file(""), environment),
                ElementsAre(HasSubstr("listeners.a.backlog: the kernel cuts 4096 to 128: sysctl -w "
                                      "net.core.somaxconn=4096, or write backlog: 128")));
    EXPECT_THAT(warnings(listener_file(", backlog: 128"), environment), IsEmpty());
}

TEST(Machine, ReusePortLosesConnectionsUnlessTheyMigrate) {
    Environment environment = small_machine();
    environment.tcp_migrate_req = 0;
    EXPECT_THAT(warnings(listener_file(", accept: reuse_port"), environment),
                ElementsAre(HasSubstr("sysctl -w net.ipv4.tcp_migrate_req=1")));
    environment.tcp_migrate_req = 1;
    EXPECT_THAT(warnings(listener_file(", accept: reuse_port"), environment), IsEmpty());
}

TEST(Machine, AProgramThatSupervisesOthersIsNotFrozen) {
    const auto with = [](const std::string& command) {
        return warnings("listeners: { a: { address: '127.0.0.1:0' } }\npools: { web: { command: [" +
                            command + "], listeners: [a], spares: 1 } }\n",
                        small_machine());
    };
    EXPECT_THAT(with("sleep"), IsEmpty());
    EXPECT_THAT(with("/nowhere/gunicorn"),
                testing::Contains(HasSubstr("2:71: pools.web.spares: gunicorn supervises processes "
                                            "of its own: its spares are not frozen")));
}

TEST(Machine, ACpuThatIsNotThereIsNamed) {
    Environment environment = small_machine();
    EXPECT_THAT(warnings(pool("cpu_affinity: [900]"), environment), IsEmpty()) << "nobody knows";
    environment.online_cpus = {0, 1};
    EXPECT_THAT(warnings(pool("cpu_affinity: [0-1]"), environment), IsEmpty());
    EXPECT_THAT(warnings(pool("cpu_affinity: [1-3]"), environment),
                ElementsAre(HasSubstr("pools.web.cpu_affinity: the machine has no CPU 2 and 3, its "
                                      "last is 1: it is left out")));
    EXPECT_THAT(warnings(pool("cpu_affinity: [7]"), environment),
                ElementsAre(HasSubstr("no CPU 7, its last is 1: workers cannot start")));
}

TEST(Machine, RequestsThatNobodyCountsRecycleNobody) {
    const auto of = [](const std::string& command, const std::string& more) {
        return warnings(
            "pools: { web: { command: [" + command + "], recycle: { requests: 9 }" + more + " } }",
            small_machine());
    };
    EXPECT_THAT(of("sleep", ""), IsEmpty()) << "it might count";
    EXPECT_THAT(of("sleep", ", segment: none"),
                ElementsAre(HasSubstr("pools.web.recycle.requests: the pool has `segment: none`")));
    for (const char* program : {"sh", "/bin/sh", "/usr/bin/env/../../bin/bash"}) {
        EXPECT_THAT(of(program, ""),
                    testing::Contains(HasSubstr("library count their requests, and ")))
            << program;
    }
    EXPECT_THAT(of("python3.11", ""),
                testing::Contains(HasSubstr("python3.11 is none: write lifetime or memory")));
}

TEST(Machine, NotificationsNeedRoomToWait) {
    Environment environment = small_machine();
    environment.unix_dgram_qlen = 10;
    EXPECT_THAT(warnings(pool("ready: { by: notify }"), environment, "/tmp/a.yaml"),
                ElementsAre(HasSubstr("pools.web.ready: while the master is busy only 11")));
    EXPECT_THAT(warnings(pool("watchdog: { timeout: 5s }"), environment, "/tmp/a.yaml"),
                ElementsAre(HasSubstr("pools.web.watchdog: while")));
    EXPECT_THAT(warnings(pool("workers: 1"), environment, "/tmp/a.yaml"), IsEmpty());
    environment.unix_dgram_qlen = 512;
    EXPECT_THAT(warnings(pool("ready: { by: notify }"), environment, "/tmp/a.yaml"), IsEmpty());
}

TEST(Machine, TimesOfZeroAreOdd) {
    EXPECT_THAT(
        warnings(pool("ready: { by: notify, timeout: 0s }"), small_machine(), "/tmp/a.yaml"),
        ElementsAre(HasSubstr("4:35: pools.web.ready.timeout: 0s leaves a worker no time")));
    EXPECT_THAT(
        warnings(pool("watchdog: { signal: SIGQUIT }"), small_machine(), "/tmp/a.yaml"),
        ElementsAre(HasSubstr("pools.web.watchdog: without a timeout the watchdog is off")));
}

TEST(Machine, AProbeMustBeThere) {
    EXPECT_THAT(warnings(pool("ready: { by: exec, command: [/no/such/probe] }"), small_machine(),
                         "/tmp/a.yaml"),
                ElementsAre(HasSubstr("4:33: pools.web.ready.command[0]: /no/such/probe does not "
                                      "exist: workers are never ready")));
}

TEST(Machine, AProgramMustBeThereAndExecutable) {
    const TempFolder folder;
    const std::string file = folder.path("a.yaml");
    const auto of = [&](const std::string& command, const std::string& more = "") {
        return warnings("pools: { w: { command: " + command + more + " } }", small_machine(), file);
    };
    EXPECT_THAT(of("[nosuchprogram]"),
                ElementsAre(HasSubstr("1:24: pools.w.command[0]: nosuchprogram "
                                      "is not in the workers' PATH")));
    EXPECT_THAT(of("[./server]"), ElementsAre(HasSubstr("does not exist")));
    const std::string server = folder.write("server", "#!/bin/sh\n");
    ASSERT_EQ(::chmod(server.c_str(), 0600), 0);
    EXPECT_THAT(of("[./server]"), ElementsAre(HasSubstr("is not executable: chmod +x it")));
    ASSERT_EQ(::chmod(server.c_str(), 0700), 0);
    EXPECT_THAT(of("[./server]"), IsEmpty());
    EXPECT_THAT(of("[server]", ", environment: { PATH: '" + folder.path("") + "' }"), IsEmpty());
    folder.write("a.env", "PATH=" + folder.path("") + "\n");
    EXPECT_THAT(of("[server]", ", env_file: a.env"), IsEmpty());
}

TEST(Machine, FoldersAndEnvFilesMustBeThere) {
    const TempFolder folder;
    EXPECT_THAT(warnings("pools: { w: { command: [sleep], working_directory: none } }",
                         small_machine(), folder.path("a.yaml")),
                ElementsAre(HasSubstr("pools.w.working_directory: ")));
    folder.write("bad.env", "rubbish\n");
    EXPECT_THAT(warnings("pools: { w: { command: [sleep], env_file: bad.env } }", small_machine(),
                         folder.path("a.yaml")),
                ElementsAre(HasSubstr("bad.env:1: a line without =")));
}

}  // namespace
}  // namespace topsman::config
