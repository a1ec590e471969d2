import django.db.models.deletion
import erp.clock
import erp.ids
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='DeletedObject',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('key', models.CharField(max_length=120)),
                ('deleted_at', models.DateTimeField(default=erp.clock.now)),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='StoredFile',
            fields=[
                ('id', models.UUIDField(default=erp.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('version', models.PositiveIntegerField(default=1, editable=False)),
                ('created_at', models.DateTimeField(default=erp.clock.now, editable=False)),
                ('updated_at', models.DateTimeField(default=erp.clock.now, editable=False)),
                ('purpose', models.CharField(help_text='What the file is for, such as partner.document.', max_length=60)),
                ('name', models.CharField(help_text='Name of the file, for display only.', max_length=255)),
                ('media_type', models.CharField(help_text='Type of the content, judged by the content.', max_length=100)),
                ('size', models.PositiveIntegerField(help_text='Size in bytes.')),
                ('sha256', models.CharField(help_text='SHA-256 of the content in hexadecimal.', max_length=64, verbose_name='SHA-256')),
                ('scan_status', models.CharField(choices=[('pending', 'Pending'), ('clean', 'Clean'), ('refused', 'Refused')], default='pending', help_text='Result of the scan for malware.', max_length=7)),
                ('used_by', models.CharField(default='', editable=False, max_length=100)),
                ('expires_at', models.DateTimeField(help_text='When an unused file is deleted.')),
                ('created_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
                'indexes': [models.Index(condition=models.Q(('scan_status', 'pending')), fields=['id'], name='upload_unscanned'), models.Index(condition=models.Q(('used_by', '')), fields=['expires_at'], name='upload_unused')],
            },
        ),
        migrations.CreateModel(
            name='FileContent',
            fields=[
                ('file', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='+', serialize=False, to='upload.storedfile')),
                ('content', models.BinaryField(null=True)),
                ('storage_key', models.CharField(max_length=120, null=True)),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
                'constraints': [models.CheckConstraint(condition=models.Q(models.Q(('content__isnull', False), ('storage_key', None)), models.Q(('content', None), ('storage_key__isnull', False)), _connector='OR'), name='upload_bytes_in_one_place')],
            },
        ),
    ]
