package quota

import "testing"

func TestTheBodyHasRoomForTheWholeQuota(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ quota, want int64 }{
		{0, 110}, {1, 110}, {18, 110}, {20, 122}, {50, 302}, {166, 998}, {167, 1000}, {1 << 20, 1000}, {1 << 42, 1000},
	} {
		if got := MaxBody(c.quota * megabyte); got != c.want*megabyte {
			t.Errorf("quota of %d MB: got %d, want %d MB", c.quota, got, c.want)
		}
	}
}
