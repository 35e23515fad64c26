package gateway

const journalChild = "REALMGATE_TEST_JOURNAL"

func appendUntilKilled() {}
