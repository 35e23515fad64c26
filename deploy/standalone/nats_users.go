package main

// natsUsers is the part of NATS's configuration with the permissions of users. Each service gets
// only the permissions that it needs, so a compromised service reaches nothing else.
// {nats-old-user} is the shared user of the previous release, while its secret exists.
const natsUsers = `# Made by -make-secrets; changes are lost.
authorization {
  users = [
    { user: "gateway", password: "{nats-gateway}", permissions: {
      publish: ["activity.requests", "activity.*.requests"]
      subscribe: ["_INBOX.gateway.>", "realmgate.sessions.changed", "realmgate.*.sessions.changed"]
    } }
    { user: "users-svc", password: "{nats-users-svc}", permissions: {
      publish: ["realmgate.sessions.changed", "realmgate.*.sessions.changed"]
      subscribe: ["_INBOX.users-svc.>"]
    } }
    { user: "vault-svc", password: "{nats-vault-svc}", permissions: {
      publish: ["realmgate.vault.changed"]
      subscribe: ["_INBOX.vault-svc.>", "realmgate.vault.changed"]
    } }
    { user: "activity-svc", password: "{nats-activity-svc}", permissions: {
      publish: [
        "activity.requests", "activity.*.requests", "$JS.ACK.>"
        "$JS.API.STREAM.INFO.*", "$JS.API.STREAM.CREATE.*", "$JS.API.STREAM.UPDATE.*"
        "$JS.API.CONSUMER.INFO.*.*", "$JS.API.CONSUMER.CREATE.>", "$JS.API.CONSUMER.DURABLE.CREATE.*.*", "$JS.API.CONSUMER.MSG.NEXT.*.*"
      ]
      subscribe: ["_INBOX.activity-svc.>"]
    } }
    {nats-old-user}
  ]
}
`

// natsOld returns the texts for the files of the previous release, in which all services shared a
// user.
func natsOld(password string) (address, conf, user string) {
	if password == "" {
		return "", "", ""
	}
	user = `{ user: "realmgate", password: "` + password + `" }`
	return "nats://realmgate:" + password + "@nats:4222", "authorization " + user + "\n", user
}
