package monotonic

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestAPauseEndsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p Pause
		if !p.Over() {
			t.Error("a pause that never began is not over")
		}
		p.Begin(time.Minute)
		if time.Sleep(time.Minute - 1); p.Over() {
			t.Error("over too early")
		}
		if time.Sleep(time.Nanosecond); !p.Over() {
			t.Error("not over in time")
		}
	})
}
