use super::{Change, Edit, Put};

// A connected peer may send key material (KMREQ) at any time. libsrt derives the key that unwraps it with PBKDF2, 2048 rounds
// on the port's receiving thread, whenever the salt differs from the last one of the same key slot, and once more to go back
// if the material does not fit. A few thousand such packets a second stop the port for everybody.
//
// A refresh changes the stream's key and keeps the salt. With this edit libsrt remembers which salt the unwrapping key was
// derived from, so a refresh derives nothing, and a connection may bring another salt once in 10 s. Material that comes
// earlier is ignored.
pub(crate) const EDIT: Edit = Edit {
    name: "bounded-keys",
    changes: &[
        Change {
            file: "haicrypt/hcrypt.h",
            anchor: "#include <sys/types.h>",
            put: Put::AfterLine,
            text: "#include <time.h>
",
        },
        Change {
            file: "haicrypt/hcrypt.h",
            anchor: "} hcrypt_Session;",
            put: Put::BeforeLine,
            text: "        struct {
            unsigned char   salt[HAICRYPT_SALT_SZ];
            size_t          salt_len;
            size_t          len;
            int             derived;        /* a message of the peer made us derive the first */
            time_t          renewed;        /* when one made us derive another; 0: never */
        }kek;
",
        },
        Change {
            file: "haicrypt/hcrypt_sa.c",
            anchor: "crypto->cryspr->km_setkey(crypto->cryspr_cb, ((HCRYPT_CTX_F_ENCRYPT",
            put: Put::BeforeLine,
            text: "	memcpy(crypto->kek.salt, ctx->salt, ctx->salt_len);
	crypto->kek.salt_len = ctx->salt_len;
	crypto->kek.len = kek_len;
",
        },
        // The clone has no key yet.
        Change {
            file: "haicrypt/hcrypt.c",
            anchor: "/* Clear salt to force later regeneration of KEK as AES decrypting key,",
            put: Put::BeforeLine,
            text: "        memset(&cryptoClone->kek, 0, sizeof(cryptoClone->kek));
",
        },
        Change {
            file: "haicrypt/hcrypt_ctx_rx.c",
            anchor: "int rollback_kek = 0;",
            put: Put::BeforeLine,
            text: "	do_pbkdf = sek_len != crypto->kek.len || salt_len != crypto->kek.salt_len
		|| 0 != memcmp(crypto->kek.salt, new_ctx.salt, salt_len);
	if (new_ctx.cfg.pwd_len && do_pbkdf && !crypto->kek.derived) {
		crypto->kek.derived = 1;
	} else if (new_ctx.cfg.pwd_len && do_pbkdf) {
		time_t now = time(NULL);
		if (crypto->kek.renewed && now >= crypto->kek.renewed && now - crypto->kek.renewed < 10) {
			HCRYPT_LOG(LOG_WARNING, \"%s\", \"KMmsg with another new salt within 10 s: ignored\\n\");
			return(-1);
		}
		crypto->kek.renewed = now;
	}
",
        },
    ],
};
