package main

const deviceAuth = "/api/v1/auth/device"

// deviceCode is a pair of codes for a device that signs in.
type deviceCode struct {
	Device string `json:"device_code"`
	User   string `json:"user_code"`
}

func (r *running) deviceCode() deviceCode {
	var code deviceCode
	r.do("POST", deviceAuth+"/code", "", map[string]any{"client_name": "test"}).want(r.t, "codes", 200, "").into(r.t,
		&code)
	return code
}

// poll asks for the tokens of a device.
func (r *running) poll(what string, code deviceCode, status int, errorCode string) {
	r.t.Helper()
	r.do("POST", deviceAuth+"/token", "", map[string]any{"device_code": code.Device}).want(r.t, what, status, errorCode)
}

// contractDevices approves and denies devices that sign in.
func contractDevices(r *running) {
	t, u := r.t, r.user("dee")
	r.do("POST", deviceAuth+"/code", "", map[string]any{"client_name": ""}).want(t, "no name", 400, "VALIDATION_ERROR")
	r.do("POST", deviceAuth+"/token", "", nil).want(t, "no code", 400, "VALIDATION_ERROR")
	r.poll("an unknown code", deviceCode{Device: nobody + nobody + nobody[:16]}, 400, "INVALID_GRANT")
	approved, denied := r.deviceCode(), r.deviceCode()
	r.poll("before the approval", approved, 400, "AUTHORIZATION_PENDING")
	r.poll("at once again", approved, 400, "SLOW_DOWN")
	r.get(deviceAuth, u.Token).want(t, "a device without a code", 400, "VALIDATION_ERROR")
	r.get(deviceAuth+"?user_code="+approved.User, u.Token).want(t, "the device", 200, "")
	for _, decision := range []string{"/approve", "/deny"} {
		r.do("POST", deviceAuth+decision, u.Token, nil).want(t, decision+" nothing", 400, "VALIDATION_ERROR")
		r.do("POST", deviceAuth+decision, u.Token, map[string]any{"user_code": "x"}).want(t, decision+" a wrong code",
			404, "DEVICE_CODE_NOT_FOUND")
	}
	r.get(deviceAuth+"?user_code=x", u.Token).want(t, "a wrong code", 404, "DEVICE_CODE_NOT_FOUND")
	r.do("POST", deviceAuth+"/approve", u.Token, map[string]any{"user_code": approved.User}).want(t, "approve", 200, "")
	r.do("POST", deviceAuth+"/deny", u.Token, map[string]any{"user_code": denied.User}).want(t, "deny", 200, "")
	r.poll("a denied device", denied, 400, "ACCESS_DENIED")
	r.poll("an approved device", approved, 200, "")
	r.poll("an approved device again", approved, 400, "INVALID_GRANT")
}

// contractExpiredDevice polls a device whose codes live for a second.
func contractExpiredDevice(r *running) {
	code := r.deviceCode()
	eventually(r.t, "the device code expires", func() bool {
		return r.do("POST", deviceAuth+"/token", "", map[string]any{"device_code": code.Device}).Code == "EXPIRED_TOKEN"
	})
}
