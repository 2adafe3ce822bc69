"""A client that enrols with the library pyscep, and polls while the response is PENDING.

pyscep_client.py URL DIR CHALLENGE [CERTIFICATE]

Its key is DIR/key.pem, which it creates if it does not exist. With a certificate of that key, it renews. It prints a
line for each response: FAILURE and the failInfo, PENDING, or SUCCESS.
"""

import os
import sys

from scep.Client import Certificate, Client, PKIStatus, PrivateKey, SigningRequest

USAGE = {"digital_signature", "key_encipherment"}

url, directory, challenge, *certificate = sys.argv[1:]
key_file = os.path.join(directory, "key.pem")
key = PrivateKey.from_pem_file(key_file) if os.path.exists(key_file) else None
request, key = SigningRequest.generate_csr(
    cn="pyscep.example.test", key_usage=USAGE, password=challenge, private_key=key
)
if certificate:
    identity = Certificate.from_pem_file(certificate[0])
else:
    identity, _ = SigningRequest.generate_self_signed(cn="pyscep device", key_usage=USAGE, private_key=key)
    with open(key_file, "wb") as file:
        file.write(key.to_pem())

client = Client(url)
result = client.enrol(csr=request, identity=identity, identity_private_key=key)
while result.status == PKIStatus.PENDING:
    print("PENDING", flush=True)
    result = client.poll(
        identity=identity,
        identity_private_key=key,
        subject=identity.subject,
        transaction_id=result.transaction_id,
    )
print(result.status.name, getattr(result, "fail_info", ""))
sys.exit(result.status != PKIStatus.SUCCESS)
