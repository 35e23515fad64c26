package quota

import "testing"

func TestTheBodyHasRoomForTheWholeQuota(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ quota, want int64 }{
		{0, 110}, {1, 110}, {18, 110}, {20, 122}, {50, 302}, {166, 998}, {167, 1000}, {1 << 20, 1000}, {1 << 42, 1000},
	} {
		if got := BodyLimit(c.quota*megabyte, 0); got != c.want*megabyte {
			t.Errorf("quota of %d MB: got %d, want %d MB", c.quota, got, c.want)
		}
	}
	if got := BodyLimit(50*megabyte, 7); got != 7*megabyte {
		t.Errorf("override of 7 MB: got %d", got)
	}
}

func TestAQuotaOfNothingIsNotTheDefault(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ own, want int64 }{{0, 50}, {7, 7}, {Nothing, 0}} {
		if got := Effective(c.own, 50); got != c.want {
			t.Errorf("own quota %d: got %d, want %d", c.own, got, c.want)
		}
	}
}
