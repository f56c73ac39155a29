ALTER TABLE images_collector DROP COLUMN process_token;
ALTER TABLE images_holders DROP COLUMN nonce;
