#include "supervisor/posix/environment.hpp"

#include <gmock/gmock.h>

namespace topsman::posix {
namespace {

using testing::ElementsAre;
using testing::UnorderedElementsAre;

TEST(EnvironmentTest, WhatWasMeantForTheMasterIsNotPassedOn) {
    EnvironmentInputs inputs;
    inputs.base = {"PATH=/bin",        "LISTEN_FDS=2",       "LISTEN_PID=7",   "LISTEN_FDNAMES=a:b",
                   "NOTIFY_SOCKET=/n", "WATCHDOG_USEC=1",    "WATCHDOG_PID=7", "TOPSMAN_SLOT=3",
                   "LISTENER=stays",   "NOTIFY_SOCKETS=too", "=odd",           "nothing"};
    EXPECT_THAT(build_environment(inputs),
                UnorderedElementsAre("LISTENER=stays", "NOTIFY_SOCKETS=too", "PATH=/bin"));
}

TEST(EnvironmentTest, TheFileIsOverriddenByEnvironmentAndThatByOurOwn) {
    EnvironmentInputs inputs;
    inputs.base = {"A=base", "B=base", "C=base", "D=base"};
    inputs.env_file = {{"B", "file"}, {"C", "file"}, {"D", "file"}};
    inputs.environment = {{"C", "environment"}, {"D", "environment"}, {"E", ""}};
    inputs.own = {{"D", "own"}};
    EXPECT_THAT(build_environment(inputs),
                UnorderedElementsAre("A=base", "B=file", "C=environment", "D=own", "E="));
}

TEST(EnvironmentTest, AnotherUserHasAnotherHome) {
    const Identity www{33, 33, {33}, "/var/www", "www-data", ""};
    EnvironmentInputs inputs;
    inputs.base = {"HOME=/root", "USER=root", "LOGNAME=root", "SHELL=/bin/bash"};
    inputs.identity = &www;
    inputs.user = "33";
    inputs.environment = {{"USER", "said by hand"}};
    EXPECT_THAT(build_environment(inputs),
                UnorderedElementsAre("HOME=/var/www", "LOGNAME=www-data", "USER=said by hand"));
}

TEST(EnvironmentTest, AnotherGroupAloneIsStillTheSameUser) {
    const Identity same{0, 4, {4}, "/root", "root", "/bin/bash"};
    EnvironmentInputs inputs;
    inputs.base = {"HOME=/somewhere"};
    inputs.identity = &same;
    EXPECT_THAT(build_environment(inputs), ElementsAre("HOME=/somewhere"));
}

TEST(EnvironmentTest, ListenersNotifySocketAndWatchdogAreSaidAsSystemdSaysThem) {
    EnvironmentInputs inputs;
    inputs.environment = {{"NOTIFY_SOCKET", "not by hand"}};
    inputs.listeners = {{"http", 3}, {"admin", 4}};
    inputs.notify_socket = "/run/topsman/shop.notify.7";
    inputs.watchdog = std::chrono::milliseconds(1'500);
    EXPECT_THAT(
        build_environment(inputs),
        UnorderedElementsAre("LISTEN_FDNAMES=http:admin", "LISTEN_FDS=2",
                             "NOTIFY_SOCKET=/run/topsman/shop.notify.7", "WATCHDOG_USEC=1500000"));
}

TEST(ExpandCommandTest, AListenerBecomesItsDescriptorsNumber) {
    EXPECT_THAT(expand_command({"serve", "--fd", "${LISTENER_FD:https}",
                                "a${LISTENER_FD:http}b${LISTENER_FD:https}", "${HOME}",
                                "${LISTENER_FD:", "${LISTENER_FD:smtp}"},
                               {{"http", 3}, {"https", 4}}),
                ElementsAre("serve", "--fd", "4", "a3b4", "${HOME}",
                            "${LISTENER_FD:", "${LISTENER_FD:smtp}"));
}

}  // namespace
}  // namespace topsman::posix
