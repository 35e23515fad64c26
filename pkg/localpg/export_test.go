package localpg

// WatchEvery is the pause between checks of a server's programs.
const WatchEvery = watchEvery
