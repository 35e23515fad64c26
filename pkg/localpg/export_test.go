package localpg

// WatchEvery is how often tests must expect a server's programs to be looked at.
const WatchEvery = watchEvery
