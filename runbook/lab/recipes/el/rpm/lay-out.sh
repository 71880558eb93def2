#!/bin/sh
# Lay Debian's Dovecot files out as Red Hat 9 does: lay-out.sh FOLDER-OF-DEBS TREE
set -eu
debs=$1 tree=$2
mkdir -p "$tree"
for deb in "$debs"/dovecot-*.deb; do dpkg-deb -x "$deb" "$tree"; done

# --- folders
mkdir -p "$tree/usr/lib/systemd/system" "$tree/usr/lib/tmpfiles.d" "$tree/usr/libexec/dovecot" \
    "$tree/etc/pki/dovecot/certs" "$tree/etc/pki/dovecot/private" "$tree/var/lib/dovecot"
rm -rf "$tree/lib" "$tree/etc/default" "$tree/etc/init.d" "$tree/etc/ufw" "$tree/usr/share/apport" \
    "$tree/usr/share/bug" "$tree/usr/share/lintian" "$tree/usr/share/doc"
rm -rf "$tree/etc/dovecot" && mkdir "$tree/etc/dovecot"
mv "$tree/usr/share/dovecot/conf.d" "$tree/usr/share/dovecot/dovecot.conf" "$tree/etc/dovecot/"
rm -rf "$tree/usr/share/dovecot/protocols.d" "$tree/usr/share/dovecot/dh.pem" "$tree/usr/share/dovecot/mkcert.sh" \
    "$tree"/usr/share/dovecot/*.conf.ext "$tree/usr/share/dovecot/dovecot-openssl.cnf" "$tree/etc/dovecot/conf.d/10-tcpwrapper.conf"

# --- settings: Debian's changes taken back, Red Hat's put in
# set_value FILE NAME VALUE: the line of NAME (the active one, else the commented one) gets VALUE; none comments it out.
set_value() {
    file="$tree/etc/dovecot/$1"
    line="^$2 ="
    grep -q "$line" "$file" || line="^#$2 ="
    grep -q "$line" "$file" || { echo "lay-out.sh: no $2 in $1" >&2; exit 1; }
    if [ -n "$3" ]; then new="$2 = $3"; else new="#$2 ="; fi
    sed -i "0,/$line.*/s||$new|" "$file"
}
sed -i '/protocols\.d/d; /Enable installed protocols/d' "$tree/etc/dovecot/dovecot.conf"
# Red Hat's build serves these by default and leaves the line commented; Debian's build has no default.
sed -i '1,/^$/s|^$|\nprotocols = imap pop3 lmtp\n|' "$tree/etc/dovecot/dovecot.conf"
set_value conf.d/10-mail.conf mail_location ""
set_value conf.d/10-mail.conf mail_privileged_group ""
set_value conf.d/10-mail.conf first_valid_uid 1000
set_value conf.d/10-mail.conf mbox_write_locks fcntl
set_value conf.d/10-ssl.conf ssl required
set_value conf.d/10-ssl.conf ssl_cert '</etc/pki/dovecot/certs/dovecot.pem'
set_value conf.d/10-ssl.conf ssl_key '</etc/pki/dovecot/private/dovecot.pem'
set_value conf.d/10-ssl.conf ssl_client_ca_dir ""
set_value conf.d/10-ssl.conf ssl_dh ""
# Red Hat's ssl_cipher_list = PROFILE=SYSTEM is left out: Debian's OpenSSL knows no such profile, and then every TLS
# handshake fails ("no cipher match"; tried).
sed -i 's|^ssl = required|# disable plain pop3 and imap, allowed are only pop3+TLS, pop3s, imap+TLS and imaps\n# plain imap and pop3 are still allowed for local connections\nssl = required|' \
    "$tree/etc/dovecot/conf.d/10-ssl.conf"

# --- login by the system's accounts
cat >"$tree/etc/pam.d/dovecot" <<'PAM'
#%PAM-1.0
auth       required     pam_nologin.so
auth       include      password-auth
account    include      password-auth
session    include      password-auth
PAM

# --- units
cat >"$tree/usr/lib/systemd/system/dovecot.service" <<'UNIT'
[Unit]
Description=Dovecot IMAP/POP3 email server
Documentation=man:dovecot(1)
Documentation=https://doc.dovecot.org/
After=local-fs.target network-online.target dovecot-init.service
Requires=dovecot-init.service

[Service]
Type=notify
ExecStartPre=/usr/libexec/dovecot/prestartscript
ExecStart=/usr/sbin/dovecot -F
ExecReload=/usr/bin/doveadm reload
ExecStop=/usr/bin/doveadm stop
PrivateTmp=true
NonBlocking=yes
ProtectSystem=full
ProtectHome=no
PrivateDevices=true
Restart=on-failure

[Install]
WantedBy=multi-user.target
UNIT
cat >"$tree/usr/lib/systemd/system/dovecot-init.service" <<'UNIT'
[Unit]
Description=One-time Dovecot init service
ConditionPathExists=|!/etc/pki/dovecot/certs/dovecot.pem

[Service]
Type=oneshot
RemainAfterExit=no
ExecStart=/usr/libexec/dovecot/mkcert.sh
UNIT
echo 'd /run/dovecot 0755 root dovecot -' >"$tree/usr/lib/tmpfiles.d/dovecot.conf"

cat >"$tree/usr/libexec/dovecot/prestartscript" <<'SCRIPT'
#!/bin/sh
/bin/systemctl -q is-enabled NetworkManager.service >/dev/null 2>&1 && /usr/bin/nm-online -q --timeout 30 || :
SCRIPT
cat >"$tree/usr/libexec/dovecot/mkcert.sh" <<'SCRIPT'
#!/bin/sh
# A self-signed certificate, so that the first start succeeds.
set -eu
umask 077
openssl req -new -x509 -nodes -days 365 -config /etc/pki/dovecot/dovecot-openssl.cnf \
    -out /etc/pki/dovecot/certs/dovecot.pem -keyout /etc/pki/dovecot/private/dovecot.pem
SCRIPT
chmod 0755 "$tree/usr/libexec/dovecot/prestartscript" "$tree/usr/libexec/dovecot/mkcert.sh"
cat >"$tree/etc/pki/dovecot/dovecot-openssl.cnf" <<'CONF'
[ req ]
default_bits = 3072
encrypt_key = yes
distinguished_name = req_dn
x509_extensions = cert_type
prompt = no

[ req_dn ]
OU=IMAP server
CN=imap.example.com
emailAddress=postmaster@example.com

[ cert_type ]
nsCertType = server
CONF
