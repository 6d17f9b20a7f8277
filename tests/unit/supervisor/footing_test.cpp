// What a start goes on with, by what the file says, what a dead master has kept, and who lives.

#include "supervisor/footing.hpp"

#include <gtest/gtest.h>

namespace topsman::supervisor {
namespace {

config::Config running(const std::string& program) {
    config::Config config;
    config.cluster = "shop";
    config.listeners = {{.name = "http", .address = "127.0.0.1:80", .mode = {}, .owner = {}}};
    config::Pool pool;
    pool.name = "web";
    pool.exec.command = {program};
    config.pools = {pool};
    return config;
}

Candidate saying(const config::Config& config) {
    Candidate file;
    file.loaded.config = config;
    return file;
}

Candidate bad() {
    Candidate file;
    file.loaded.errors.emplace_back();
    return file;
}

/// `current` is in force; `file` is what was read last.
KeptGenerations kept(const config::Config& current, const config::Config& file) {
    KeptGenerations kept;
    kept.file = file;
    kept.legacy.current = {current, core::Generation{1}, {{"web", core::Generation{1}}}};
    auto spec = std::make_shared<Spec>();
    spec->pool = current.pools[0];
    kept.specs[core::Generation{1}]["web"] = std::move(spec);
    return kept;
}

const config::Config kGood = running("good");
const config::Config kOther = running("other");

std::string program(const Footing& footing) {
    return footing.config.pools.at(0).exec.command.at(0);
}

TEST(FootingTest, WithNothingKeptItIsTheFile) {
    const Footing footing = choose_footing(saying(kGood), std::nullopt, true);
    EXPECT_EQ(program(footing), "good");
    EXPECT_EQ(footing.file, kGood);
    EXPECT_FALSE(footing.news);
    EXPECT_FALSE(footing.kept);
}

TEST(FootingTest, BesideLivingWorkersItIsWhatTheyRunAndTheFileIsNews) {
    const Footing footing = choose_footing(saying(kOther), kept(kGood, kGood), true);
    EXPECT_EQ(program(footing), "good");
    EXPECT_EQ(footing.specs.at("web")->pool.exec.command.at(0), "good");
    EXPECT_EQ(footing.file, kGood);
    EXPECT_EQ(footing.news.value().loaded.config, kOther);
    EXPECT_TRUE(footing.kept);
}

TEST(FootingTest, WhatNoReloadCanChangeTheStartDoes) {
    config::Config other = running("other");
    other.segment.lanes = 100;
    const Footing footing = choose_footing(saying(other), kept(kGood, kGood), true);
    EXPECT_EQ(footing.config, other);
    EXPECT_FALSE(footing.news);
    EXPECT_FALSE(footing.kept);
}

TEST(FootingTest, ABadFileIsNewsWhoeverLives) {
    for (const bool has_workers : {true, false}) {
        const Footing footing = choose_footing(bad(), kept(kGood, kGood), has_workers);
        EXPECT_EQ(program(footing), "good");
        EXPECT_FALSE(is_good(footing.news.value()));
    }
    Candidate unreadable = saying(kOther);
    unreadable.trouble = "pools.web.env_file: cannot be read";
    EXPECT_EQ(program(choose_footing(std::move(unreadable), kept(kGood, kGood), false)), "good");
}

TEST(FootingTest, WithNobodyLeftItIsTheFileUnlessThatWasRolledBack) {
    EXPECT_EQ(program(choose_footing(saying(kOther), kept(kGood, kGood), false)), "other");
    const Footing footing = choose_footing(saying(kOther), kept(kGood, kOther), false);
    EXPECT_EQ(program(footing), "good");
    EXPECT_EQ(footing.file, kOther);
    EXPECT_EQ(program(choose_footing(saying(running("third")), kept(kGood, kOther), false)),
              "third");
}

TEST(FootingTest, AReloadUnderWayHasNotProvenItself) {
    KeptGenerations left = kept(kOther, kOther);
    left.legacy.base = kept(kGood, kGood).legacy.current;
    EXPECT_EQ(program(choose_footing(saying(kOther), left, true)), "good");
    EXPECT_EQ(program(choose_footing(bad(), left, false)), "good");
    EXPECT_EQ(program(choose_footing(saying(kOther), left, false)), "other")
        << "nothing was undone";
    EXPECT_EQ(ground_config(bad(), left).pools[0].exec.command[0], "good");
    EXPECT_EQ(ground_config(saying(kOther), left).pools[0].exec.command[0], "other");
}

}  // namespace
}  // namespace topsman::supervisor
